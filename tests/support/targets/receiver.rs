//! A syslog receiver over TCP or UDP that can break a connection within a message.

use std::io::{BufRead, BufReader, Read};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    messages: Vec<String>,
    connections: Vec<TcpStream>,
    /// Number of messages after which it breaks the connection.
    hang_up_after: Option<usize>,
}

/// A receiver that lives until the test's process ends.
pub struct Receiver {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Reads octet-counted messages.
    pub fn tcp() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address").to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let copy = stream.try_clone().expect("a handle");
                shared.lock().expect("a lock").connections.push(copy);
                let state = Arc::clone(&shared);
                std::thread::spawn(move || read_frames(stream, &state));
            }
        });
        Receiver { address, state }
    }

    pub fn udp() -> Receiver {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("an address").to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut datagram = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut datagram) {
                let text = String::from_utf8(datagram[..length].to_vec()).expect("UTF-8");
                shared.lock().expect("a lock").messages.push(text);
            }
        });
        Receiver { address, state }
    }

    pub fn messages(&self) -> Vec<String> {
        self.state.lock().expect("a lock").messages.clone()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().expect("a lock").connections.len()
    }

    pub fn hang_up_after(&self, messages: usize) {
        self.state.lock().expect("a lock").hang_up_after = Some(messages);
    }

    /// Closes every connection in an orderly way.
    pub fn hang_up(&self) {
        for connection in &self.state.lock().expect("a lock").connections {
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

fn read_frames(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = Vec::new();
        if !reader.read_until(b' ', &mut length).is_ok_and(|read| read > 0) {
            return;
        }
        let length = String::from_utf8_lossy(&length).trim().parse().expect("a length");
        let mut message = vec![0; length];
        if reader.read_exact(&mut message).is_err() {
            return;
        }
        let mut state = state.lock().expect("a lock");
        state.messages.push(String::from_utf8(message).expect("UTF-8"));
        if let Some(left) = &mut state.hang_up_after {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.hang_up_after = None;
                // The system resets a connection that is closed with unread bytes.
                return drop(reader.get_ref().shutdown(Shutdown::Both));
            }
        }
    }
}
