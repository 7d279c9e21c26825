//! What a server is told: its configuration file and its password.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{ServerOptions, SyncMode};

/// The largest message the server takes, in bytes. Beyond 8 MiB nats-server itself advises against it.
pub const MAX_PAYLOAD: usize = 8 << 20;

/// A server's place in a cluster. Routes carry the clients' user and password.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, unlike the others'. JetStream knows nodes by their names: a store that is started under another is another node's.
    pub name: String,
    /// Where it takes routes, on 127.0.0.1.
    pub port: u16,
    /// The ports on 127.0.0.1 where it reaches each of the others.
    pub routes: Vec<u16>,
}

/// The one user, of clients and of routes.
pub(super) const USER: &str = "atlas";
/// A port on which nothing listens.
const NOWHERE: u16 = 1;

/// The configuration of the server in `dir`.
pub(super) fn configuration(dir: &Path, options: &ServerOptions, password: &str) -> String {
    // JSON strings are strings of NATS's configuration language too.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let name = options.member.as_ref().map_or("atlas", |member| &member.name);
    let cluster = options.member.as_ref().map_or_else(String::new, |member| {
        let route = |port: &u16| quoted(&format!("nats-route://{USER}:{password}@127.0.0.1:{port}"));
        let routes: Vec<String> = member.routes.iter().map(route).collect();
        format!(
            "cluster {{\n  name: atlas\n  listen: 127.0.0.1:{port}\n\
             \x20 authorization {{ user: {USER}, password: \"{password}\" }}\n  routes: [{routes}]\n\
             \x20 # Each is told of all others: what they tell each other would only lead around these routes.\n\
             \x20 advertise: \"127.0.0.1:{NOWHERE}\"\n  no_advertise: true\n}}\n",
            port = member.port,
            routes = routes.join(", "),
        )
    });
    format!(
        "# Written by Atlas at every start.\n\
         server_name: {name}\n\
         host: 127.0.0.1\n\
         port: {port}\n\
         max_payload: {MAX_PAYLOAD}\n\
         jetstream {{\n  store_dir: {store}\n{sync}}}\n\
         authorization {{ users: [ {{ user: {USER}, password: \"{password}\" }} ] }}\n\
         {cluster}",
        name = quoted(name),
        sync = match options.sync {
            SyncMode::Always =>
                "  # What is acknowledged is on disk; the default would lose up to 2 minutes.\n  sync_interval: always\n",
            SyncMode::Interval => "",
        },
        port = options.port.map_or_else(|| "-1".to_owned(), |port| port.to_string()),
        store = quoted(&dir.join("jetstream").to_string_lossy()),
    )
}

/// The directory's password: drawn the first time.
pub(super) fn password(dir: &Path) -> Result<String, std::io::Error> {
    let path = dir.join("password");
    match std::fs::read_to_string(&path) {
        Ok(password) if password.len() == 32 => Ok(password),
        _ => {
            let password = format!("{:032x}", rand::random::<u128>());
            write_private(&path, &password)?;
            Ok(password)
        }
    }
}

/// Writes a file that only its owner can read: it holds a password.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), std::io::Error> {
    let _ = std::fs::remove_file(path);
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
