//! The running sink: one connection, one statement per batch.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::connect::{Connection, connect};
use super::{PostgresSinkConfig, answer, encode};
use crate::sinks::{Deliver, Item, Reason, Report, Verdict};
use crate::tls;

/// A target of `type = "postgres"`.
#[derive(Debug)]
pub(crate) struct Postgres {
    settings: PostgresSinkConfig,
    tls: Option<Arc<ClientConfig>>,
    statement: String,
    connection: Option<Connection>,
}

impl Postgres {
    pub(super) fn open(settings: &PostgresSinkConfig) -> Result<Postgres, Reason> {
        let tls = match settings.is_encrypted {
            true => Some(Arc::new(tls::client_config(&settings.tls)?)),
            false => None,
        };
        if let Some(password) = &settings.password {
            password.reread()?;
        }
        Ok(Postgres {
            settings: settings.clone(),
            tls,
            statement: encode::statement(&settings.table),
            connection: None,
        })
    }

    /// Inserts the rows. Returns the number of rows that were not in the table.
    async fn insert(&mut self, items: &[Item]) -> Result<u64, Verdict> {
        let rows = array(items);
        let connection = match self.connection.take().filter(|it| !it.client.is_closed()) {
            Some(connection) => connection,
            None => connect(&self.settings, self.tls.as_ref()).await?,
        };
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&rows, Type::TEXT)];
        let running = connection.client.execute_typed(&self.statement, &parameters);
        match timeout(self.settings.timeout, running).await {
            Ok(Ok(count)) => {
                self.connection = Some(connection);
                Ok(count)
            }
            Ok(Err(error)) => {
                let verdict = answer::verdict(&error, &self.settings.address);
                if matches!(verdict, Verdict::Split { .. }) {
                    self.connection = Some(connection);
                }
                Err(verdict)
            }
            // The statement may still be stored, so the connection is given up: a repetition changes nothing.
            Err(_) => {
                let message = format!("no answer within {:?}", self.settings.timeout);
                Err(Verdict::Retry { after: None, reason: Reason::late(message) })
            }
        }
    }
}

/// Returns the JSON array of the rows.
fn array(items: &[Item]) -> String {
    let rows: Vec<&[u8]> = items.iter().map(|item| &*item.payload).collect();
    format!("[{}]", String::from_utf8_lossy(&rows.join(&b',')))
}

impl Deliver for Postgres {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let verdict =
            self.insert(items).await.map_or_else(|verdict| verdict, |_| Verdict::Delivered);
        Report::all(items, verdict)
    }

    /// Inserts no row: the server checks role, table, columns and index first.
    async fn probe(&mut self) -> Result<String, Reason> {
        match self.insert(&[]).await {
            Ok(_) => Ok("the table accepts an insert".to_owned()),
            Err(verdict) => Err(verdict.into_reason()),
        }
    }

    async fn close(&mut self) {
        self.connection = None;
    }
}
