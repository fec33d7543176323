//! Moto: a model of S3 in Python, with signatures checked.
//!
//! It checks signatures after a few requests that set up a user; so each server is given a user first.

use convoy_objectstore::{CloudStore, Keys, S3Options};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The bucket that each server has.
pub(crate) const BUCKET: &str = "bucket";

/// Makes a user and a bucket: four requests, after which every signature is checked.
const SETUP: &str = r#"
import json, sys, boto3
from botocore.config import Config
endpoint = sys.argv[1]
def client(name, key, secret):
    return boto3.client(name, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key,
                        aws_secret_access_key=secret, config=Config(retries={"max_attempts": 0}))
iam = client("iam", "any", "any")
iam.create_user(UserName="convoy")
allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="convoy", PolicyName="all", PolicyDocument=json.dumps(allow))
key = iam.create_access_key(UserName="convoy")["AccessKey"]
client("s3", key["AccessKeyId"], key["SecretAccessKey"]).create_bucket(Bucket="bucket")
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// A running server.
pub(crate) struct Moto {
    server: Child,
    endpoint: String,
    keys: Keys,
}

impl Moto {
    /// Starts one on a port of its own.
    pub(crate) fn start() -> Self {
        let folder = std::env::var("CONVOY_MOTO").expect(
            "CONVOY_MOTO names no folder with moto's programs: `cargo xtask test` installs it and sets it",
        );
        let port = free_port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let server = Command::new(format!("{folder}/bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "3")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut moto = Self {
            server,
            endpoint,
            keys: Keys {
                id: String::new(),
                secret: String::new(),
                token: None,
            },
        };
        moto.wait(port);
        let made = Command::new(format!("{folder}/bin/python3"))
            .args(["-c", SETUP, &moto.endpoint])
            .output()
            .unwrap();
        let said = String::from_utf8(made.stdout).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        let [id, secret] = words[..] else {
            panic!("{}", String::from_utf8_lossy(&made.stderr));
        };
        (moto.keys.id, moto.keys.secret) = (id.to_owned(), secret.to_owned());
        moto
    }

    fn wait(&mut self, port: u16) {
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none(), "moto ended with {ended:?}");
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "moto does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    pub(crate) fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            keys: Some(self.keys()),
            ..S3Options::default()
        }
    }

    pub(crate) fn store(&self, prefix: &str) -> CloudStore {
        CloudStore::s3(BUCKET, Some("us-east-1"), prefix, &self.options()).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
