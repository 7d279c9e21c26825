//! What can go wrong on the bus.

/// The cause of an error, as its library gave it.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something on the bus did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error(
        "cannot connect to NATS at {url}: {cause}; check that nats-server runs there and that user and password are right"
    )]
    Connect {
        /// The server's address, without credentials.
        url: String,
        /// What the client said.
        cause: String,
    },
    /// The server lacks what the bus needs.
    #[error(
        "nats-server {found} at {url} is too old: {minimum} or newer is needed; run scripts/setup nats, or upgrade it"
    )]
    TooOld {
        /// The server's address.
        url: String,
        /// Its version.
        found: String,
        /// The oldest version that serves.
        minimum: &'static str,
    },
    /// JetStream is off, or not for this account.
    #[error(
        "nats-server at {url} has no JetStream for this user: {cause}; enable it in the server's configuration (`jetstream {{ }}`)"
    )]
    NoJetStream {
        /// The server's address.
        url: String,
        /// What the server said.
        cause: String,
    },
    /// A stream exists and is not as the spec wants it.
    #[error("stream {stream} differs from its specification: {}; change it with `nats stream edit`, or use another NATS system", differences.join("; "))]
    Drift {
        /// The stream.
        stream: String,
        /// Field, found and wanted, one each.
        differences: Vec<String>,
    },
    /// The streams do not exist yet.
    #[error(
        "stream {stream} does not exist: this NATS system was not prepared for Atlas; start a run on it first"
    )]
    NotPrepared {
        /// The stream.
        stream: String,
    },
    /// The server or the connection failed an operation.
    #[error("could not {attempted}: {cause}")]
    Failed {
        /// What was attempted, on what; completes "could not …".
        attempted: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// A message is larger than the server takes.
    #[error(
        "{what} is {size} bytes, more than the {limit} that NATS takes (max_payload); put large content into the object store"
    )]
    TooLarge {
        /// The message.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The server's limit in bytes.
        limit: usize,
    },
    /// A dead letter tells of an effect, of which no message was sent.
    #[error(
        "{key} is an effect of an actor and no message: it runs again when its actor is activated next, by `atlas drain` or a restart of its host"
    )]
    NothingToReplay {
        /// The effect.
        key: String,
    },
    /// Stored bytes are not what they should be.
    #[error("{what} is damaged: {cause}")]
    Corrupt {
        /// Which bytes.
        what: String,
        /// What is wrong with them.
        cause: String,
    },
    /// There is no such object.
    #[error("{what} is not in the object store")]
    NotFound {
        /// The object.
        what: String,
    },
    /// A name that cannot stand on a subject.
    #[error(
        "`{name}` cannot name an actor or a queue: it must be 1 to 200 characters without blanks, `*`, `>` and `~`"
    )]
    Name {
        /// The name.
        name: String,
    },
}

impl Error {
    pub(crate) fn failed(attempted: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Failed { attempted: attempted.into(), cause: cause.into() }
    }
}

/// Why a record was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else has written since `after`: this host does not own the actor, or has not read its journal.
    #[error("the journal of {actor} has grown beyond {after}: another host writes it")]
    Conflict {
        /// The actor.
        actor: String,
        /// The last sequence that the writer knew.
        after: u64,
    },
    /// Nothing is known about the record: read the journal before writing again.
    #[error(transparent)]
    Bus(#[from] Error),
}
