//! A control plane of its own for each test, and the verbs as a shell would call them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");

/// A running `outrigger serve` on ports that the kernel chose, with a folder for files.
pub(crate) struct ControlPlane {
    process: Child,
    folder: TempDir,
    server: String,
    pilot: String,
}

impl ControlPlane {
    pub(crate) fn start() -> ControlPlane {
        ControlPlane::with(&[])
    }

    /// One that is given these words too.
    pub(crate) fn with(words: &[&str]) -> ControlPlane {
        let folder = tempfile::tempdir().unwrap();
        let services = folder.path().join("services.yaml");
        std::fs::write(&services, "- host: reviews.mesh\n  ports:\n  - {name: http, port: 9080, protocol: http}\n  instances:\n  - {address: 127.0.0.1, port: 9, labels: {version: v1}}\n").unwrap();
        let (process, server, pilot) = serve(folder.path(), words);
        ControlPlane {
            process,
            folder,
            server,
            pilot,
        }
    }

    /// Kills it, changes files meanwhile, and starts it again.
    pub(crate) fn restarted_after(mut self, change: impl FnOnce(&Path)) -> ControlPlane {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        change(self.folder.path());
        (self.process, self.server, self.pilot) = serve(self.folder.path(), &[]);
        self
    }

    /// The folder with its files, and its store under `store`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A page of pilot, whatever its status.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.pilot.trim_start_matches("http://")).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: pilot\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a verb.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.run_as(Path::new(PROGRAM), words, "")
    }

    /// Runs a verb that reads `input`.
    pub(crate) fn feed(&self, words: &[&str], input: &str) -> Said {
        self.run_as(Path::new(PROGRAM), words, input)
    }

    /// Runs a verb whose standard output is `out`.
    pub(crate) fn run_into(&self, words: &[&str], out: impl Into<Stdio>) -> Said {
        let mut command = self.command(Path::new(PROGRAM), words);
        let output = at_home(&mut command, self.folder.path())
            .stdout(out)
            .output()
            .unwrap();
        Said {
            code: output.status.code(),
            out: String::new(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the program by the name `istioctl`.
    pub(crate) fn istioctl(&self, words: &[&str]) -> Said {
        let link = self.folder.path().join("istioctl");
        if !link.exists() {
            std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
        }
        self.run_as(&link, words, "")
    }

    fn run_as(&self, program: &Path, words: &[&str], input: &str) -> Said {
        said(&mut self.command(program, words), self.folder.path(), input)
    }

    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env("OUTRIGGER_SERVER", &self.server)
            .env("OUTRIGGER_PILOT", &self.pilot);
        command
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts `outrigger serve` with its files in `folder`; gives the addresses of the API and of pilot's pages.
fn serve(folder: &Path, words: &[&str]) -> (Child, String, String) {
    let mut process = Command::new(PROGRAM)
        .args([
            "serve",
            "--registries",
            "static",
            "--domain",
            "mesh",
            "--log-json",
        ])
        .args([
            "--static-services".as_ref(),
            folder.join("services.yaml").as_os_str(),
        ])
        .args(["--data-dir".as_ref(), folder.join("store").as_os_str()])
        .args(["--api-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"])
        .args([
            "--http-address",
            "127.0.0.1:0",
            "--monitoring-address",
            "127.0.0.1:0",
        ])
        .args(words)
        .env("OUTRIGGER_PARENT_PID", std::process::id().to_string())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let serving = lines
        .by_ref()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).expect("a line of JSON"))
        .find(|line| line["fields"]["message"] == "serving")
        .expect("it serves");
    // What is not read would block the process one day.
    thread::spawn(move || lines.for_each(drop));
    let address = |name: &str| format!("http://{}", serving["fields"][name].as_str().unwrap());
    (process, address("api"), address("http"))
}

/// Runs a verb where no control plane is.
pub(crate) fn alone(words: &[&str]) -> Said {
    let home = tempfile::tempdir().unwrap();
    said(Command::new(PROGRAM).args(words), home.path(), "")
}

/// With a folder of its own as home, and no other mesh in the environment.
fn at_home<'c>(command: &'c mut Command, home: &Path) -> &'c mut Command {
    command
        .env("HOME", home)
        .env_remove("KUBECONFIG")
        .current_dir(home)
}

fn said(command: &mut Command, home: &Path, input: &str) -> Said {
    let mut child = at_home(command, home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not read its input may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let mut err = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).unwrap();
        text
    });
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: errors.join().unwrap(),
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Demands success.
    #[track_caller]
    pub(crate) fn good(self) -> Said {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Demands failure with a message.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, message: &str) -> Said {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(message), "want {message:?} in {self:?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
