//! Requests of the load, with ids that are renewed in place.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::load::Plan;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One request.
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    /// Offsets of the twelve digits of each id; empty if the body is compressed.
    ids: Vec<usize>,
    /// Size of the body before compression, in bytes.
    pub(crate) payload: u64,
    path: &'static str,
}

impl Request {
    pub(crate) fn new(plan: Plan) -> Request {
        let documented = include_str!("../../fixtures/documented_batch.json");
        let values: Vec<serde_json::Value> = serde_json::from_str(documented).expect("JSON");
        let mut body = String::from("[");
        let mut ids = Vec::new();
        for (index, value) in values.iter().cycle().take(plan.events).enumerate() {
            let mut value = value.clone();
            value["id"] = "00000000-0000-4000-8000-############".into();
            let flow = index % plan.flows;
            let payload = &mut value["_embedded"]["flowInteractionEvent"];
            payload["flowId"] = format!("{flow:032x}").into();
            payload["flowName"] = format!("Sign on {flow}").into();
            if plan.is_small {
                let recorded_at = value["recordedAt"].take();
                value = serde_json::json!({
                    "id": value["id"], "recordedAt": recorded_at, "action": {"type": "USER.UPDATED"}
                });
            }
            if index > 0 {
                body.push(',');
            }
            let text = value.to_string();
            ids.push(body.len() + text.find('#').expect("an id"));
            body.push_str(&text);
        }
        body.push(']');
        let head = head(plan.path, body.len(), "");
        let ids = ids.into_iter().map(|at| at + head.len()).collect();
        let payload = body.len() as u64;
        Request { bytes: (head + &body).into_bytes(), ids, payload, path: plan.path }
    }

    /// Gives each event an id that was never sent before.
    pub(crate) fn renew(&mut self) {
        let first = NEXT_ID.fetch_add(self.ids.len() as u64, Ordering::Relaxed);
        for (at, number) in self.ids.iter().zip(first..) {
            let mut rest = number;
            for digit in self.bytes[*at..*at + 12].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(rest & 15) as usize];
                rest >>= 4;
            }
        }
    }

    /// Returns the request with new ids and its body compressed by gzip.
    pub(crate) fn compressed(mut self) -> Request {
        self.renew();
        let body = &self.bytes[self.bytes.len() - self.payload as usize..];
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(body).expect("compressed");
        let body = encoder.finish().expect("compressed");
        let head = head(self.path, body.len(), "content-encoding: gzip\r\n");
        Request { bytes: [head.as_bytes(), &body].concat(), ids: Vec::new(), ..self }
    }
}

fn head(path: &str, length: usize, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{more}\
         content-length: {length}\r\n\r\n"
    )
}
