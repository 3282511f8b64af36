//! Owns the way on which a change reaches a subject: an answer to its look, or a publication for each task.

use std::net::SocketAddr;

use serde_json::json;
use tokio::time::{Duration, timeout};

use crate::Failure;
use crate::changes::{Change, Changes};
use crate::client::{Connection, Door};
use crate::contender::{Kind, Running};

/// The longest wait for the looks at all tasks, and for the answers to publications.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Publisher<'o> {
    kind: Kind,
    address: SocketAddr,
    changes: &'o Changes,
    tasks: usize,
    /// A connection for each task, as taskgate has one to the origin for each of its looks.
    connections: Vec<Connection>,
}

/// The id of a task.
pub fn id(task: usize) -> String {
    format!("push-{task}")
}

impl<'o> Publisher<'o> {
    pub fn new(running: &Running, changes: &'o Changes, tasks: usize) -> Self {
        Self { kind: running.kind, address: running.publish, changes, tasks, connections: Vec::new() }
    }

    /// Prepares a change: from here on, nothing but the change itself is to be done.
    pub async fn prepare(&mut self) -> Result<(), Failure> {
        if self.kind == Kind::Taskgate {
            return timeout(PATIENCE, self.changes.hold(self.tasks)).await.map_err(|_| {
                format!("taskgate looks at {} of {} tasks only", self.changes.held(), self.tasks).into()
            });
        }
        while self.connections.len() < self.tasks {
            self.connections.push(Connection::open(Door { address: self.address, credentials: None }).await?);
        }
        Ok(())
    }

    /// Changes all tasks at once.
    pub async fn change(&mut self, change: Change) -> Result<(), Failure> {
        // Pushpin's backend is the origin too, and tells newcomers the state.
        self.changes.change(change);
        if self.kind == Kind::Taskgate {
            return Ok(());
        }
        let requests: Vec<String> = (0..self.tasks).map(|task| self.request(&id(task), change)).collect();
        for (connection, request) in self.connections.iter_mut().zip(&requests) {
            connection.send(request.as_bytes()).await?;
        }
        Ok(())
    }

    /// Waits until every publication is answered.
    pub async fn settle(&mut self) -> Result<(), Failure> {
        for mut connection in std::mem::take(&mut self.connections) {
            let answer = timeout(PATIENCE, connection.receive()).await??;
            if !(200..300).contains(&answer.status) {
                return Err(format!("{} refuses a publication: {answer:?}", self.kind.name()).into());
            }
            if answer.goes_on() {
                self.connections.push(connection);
            }
        }
        Ok(())
    }

    /// The publication of a task's state.
    fn request(&self, id: &str, change: Change) -> String {
        let (path, body) = match self.kind {
            Kind::Pushpin => {
                let content = change.event(id);
                let item = json!({ "channel": id, "formats": { "http-stream": { "content": content } } });
                ("/publish/".to_owned(), json!({ "items": [item] }).to_string())
            }
            // nchan makes the event of it.
            Kind::Nchan => (format!("/publish/{id}"), change.state(id)),
            _ => (format!("/publish/{id}"), change.event(id)),
        };
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}
