//! A fake NATS server of any version.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Listens, answers pings and nothing else. Returns its address.
pub fn of_version(version: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        listener.incoming().for_each(|connection| greet(&connection.expect("one"), version));
    });
    url
}

fn greet(mut connection: &TcpStream, version: &str) {
    let info = serde_json::json!({ "version": version, "max_payload": 1_048_576, "headers": true });
    connection.write_all(format!("INFO {info}\r\n").as_bytes()).expect("written");
    for line in BufReader::new(connection).lines().map_while(Result::ok) {
        if line == "PING" {
            connection.write_all(b"PONG\r\n").expect("written");
        }
    }
}
