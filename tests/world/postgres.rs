//! A real PostgreSQL server of the tests' own. In: the programs of the system's package. Out: databases on a port of loopback. Must
//! never outlive its test: a shell beside it ends it when this process ends, however that is.

use crate::ports::Ports;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Makes the data where there are none yet, runs the server, and ends it when nobody holds the input any more.
const KEEPER: &str = r#"
    dir=$1 bin=$2 port=$3; shift 3
    if [ -z "$dir" ]; then
        dir=$(mktemp -d) && "$bin/initdb" --no-sync -A trust -U doorward -D "$dir/data" >"$dir/log" 2>&1
    fi
    if [ -n "$SERVER_KEY" ]; then
        (umask 077 && printf '%s\n' "$SERVER_KEY" >"$dir/data/server.key" && printf '%s\n' "$SERVER_CERTIFICATE" >"$dir/data/server.crt")
        set -- "$@" -c ssl=on
    fi
    echo "$dir"
    "$bin/postgres" -D "$dir/data" -p "$port" -k "$dir" -c listen_addresses=127.0.0.1 -c max_connections=200 "$@" >>"$dir/log" 2>&1 &
    server=$!
    read -r how
    while kill "-${how:-QUIT}" $server 2>/dev/null; do sleep 0.1; done
    [ "$how" = KILL ] && exit
    # Its children may write for a moment more.
    for _ in 1 2 3 4 5; do rm -rf "$dir" 2>/dev/null && exit; sleep 0.2; done
"#;

/// The shell beside a server, and what it waits for.
type Kept = (Child, ChildStdin);

/// A running server.
pub(crate) struct Postgres {
    folder: PathBuf,
    ports: Ports,
    keeper: Mutex<Option<Kept>>,
    databases: AtomicU32,
}

impl Postgres {
    /// A server of one's own; `None` where PostgreSQL is not installed.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        Self::of(options, &[])
    }

    /// One that speaks TLS too, by this certificate.
    pub(crate) fn with_certificate(certificate: &str, key: &str) -> Option<Self> {
        Self::of(&[], &[("SERVER_CERTIFICATE", certificate), ("SERVER_KEY", key)])
    }

    fn of(options: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        let ports = Ports::take();
        let (keeper, folder) = keep("", ports.nth(1), options, variables)?;
        let server = Self { folder, ports, keeper: Mutex::new(Some(keeper)), databases: AtomicU32::new(0) };
        server.wait();
        Some(server)
    }

    /// The one that the tests of this program share.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[])).as_ref()
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.nth(1)
    }

    /// A new database, as a location.
    pub(crate) fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        self.location(self.port(), &name)
    }

    /// The same database by way of another port.
    pub(crate) fn location(&self, port: u16, name: &str) -> String {
        format!("postgres://doorward@127.0.0.1:{port}/{name}")
    }

    /// What psql answers.
    pub(crate) fn run(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends it as a failing machine would, in the middle of whatever it does.
    pub(crate) fn kill(&self) {
        let (mut keeper, mut input) = self.keeper.lock().unwrap().take().unwrap();
        input.write_all(b"KILL\n").unwrap();
        keeper.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn restart(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            *self.keeper.lock().unwrap() =
                keep(&self.folder.display().to_string(), self.port(), &[], &[]).map(|(keeper, _)| keeper);
            if self.answers_within(Duration::from_secs(5)) {
                return;
            }
            assert!(Instant::now() < deadline, "{}", self.log());
            // The children of the one before were still there: another one begins only after they have ended.
            self.kill();
        }
    }

    /// From the next start on it only follows, as a primary that was replaced.
    pub(crate) fn becomes_a_standby(&self) {
        fs::write(self.folder.join("data/standby.signal"), "").unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn wait(&self) {
        assert!(self.answers_within(Duration::from_secs(30)), "PostgreSQL did not start: {}", self.log());
    }

    fn answers_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.psql("postgres", "SELECT 1").output().unwrap().status.success() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new(programs().unwrap().join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", &self.port().to_string(), "-U", "doorward"]);
        command.args(["-d", database, "-c", sql]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((mut keeper, input)) = self.keeper.lock().unwrap().take() {
            drop(input);
            let _ = keeper.wait();
        }
    }
}

fn keep(folder: &str, port: u16, options: &[&str], variables: &[(&str, &str)]) -> Option<(Kept, PathBuf)> {
    let programs = programs().or_else(|| {
        eprintln!("SKIPPED: PostgreSQL is not installed");
        None
    })?;
    let mut command = as_who_may_run_it();
    command.args(["sh", "-c", KEEPER, "keeper", folder]).arg(programs).arg(port.to_string()).args(options);
    let mut keeper =
        command.envs(variables.iter().copied()).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let input = keeper.stdin.take().unwrap();
    Some(((keeper, input), PathBuf::from(line.trim())))
}

/// The server refuses to run as root.
fn as_who_may_run_it() -> Command {
    if !is_root() {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Where the programs are: Debian keeps those of each version apart.
fn programs() -> Option<PathBuf> {
    let has_them = |folder: &Path| ["postgres", "initdb", "psql"].iter().all(|program| folder.join(program).exists());
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    folders.extend(asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())));
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders.into_iter().find(|folder| has_them(folder))
}
