//! Connections to PostgreSQL, with rustls after the server has agreed to TLS.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding as Binding, SslMode};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, NoTls};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_util::task::AbortOnDropHandle;

use super::{PostgresSinkConfig, answer};
use crate::error_chain::connection_failure;
use crate::sinks::{Reason, Verdict};

/// An open connection, and the task that drives it.
pub(super) struct Connection {
    pub(super) client: Client,
    _driver: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Connects within `connect_timeout`.
///
/// # Errors
/// Returns the verdict for every item that waits for the connection.
pub(super) async fn connect(
    settings: &PostgresSinkConfig,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Verdict> {
    let connecting = async {
        let stream = TcpStream::connect(&settings.address)
            .await
            .map_err(|error| retry(Reason::new(connection_failure(&error, &settings.address))))?;
        drop(stream.set_nodelay(true));
        let config =
            config_of(settings, tls.is_some()).map_err(|reason| Verdict::Fatal { reason })?;
        let failed = |error: tokio_postgres::Error| answer::verdict(&error, &settings.address);
        Ok(match tls {
            None => {
                let (client, connection) =
                    config.connect_raw(stream, NoTls).await.map_err(failed)?;
                driven(client, async { drop(connection.await) })
            }
            Some(tls) => {
                let upgrade = Upgrade { tls: Arc::clone(tls), host: settings.host().to_owned() };
                let (client, connection) =
                    config.connect_raw(stream, upgrade).await.map_err(failed)?;
                driven(client, async { drop(connection.await) })
            }
        })
    };
    // No insert was sent, so that fewer events would not help.
    let late =
        |_| retry(Reason::new(format!("no connection within {:?}", settings.connect_timeout)));
    timeout(settings.connect_timeout, connecting).await.map_err(late)?
}

fn retry(reason: Reason) -> Verdict {
    Verdict::Retry { after: None, reason }
}

fn driven(client: Client, driver: impl Future<Output = ()> + Send + 'static) -> Connection {
    Connection { client, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) }
}

/// Returns the settings of a session, with the password read again from its file.
fn config_of(settings: &PostgresSinkConfig, is_encrypted: bool) -> Result<Config, Reason> {
    let mut config = Config::new();
    config
        .user(&settings.username)
        .dbname(&settings.database)
        .application_name("davinci-siem")
        .ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable })
        .channel_binding(Binding::Disable);
    if let Some(password) = &settings.password {
        config.password(password.reread()?.expose());
    }
    Ok(config)
}

/// The change of a connection to TLS.
struct Upgrade {
    tls: Arc<ClientConfig>,
    host: String,
}

impl TlsConnect<TcpStream> for Upgrade {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
            Ok(Encrypted(TlsConnector::from(self.tls).connect(name, stream).await?))
        })
    }
}

/// An encrypted connection.
struct Encrypted(client::TlsStream<TcpStream>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
