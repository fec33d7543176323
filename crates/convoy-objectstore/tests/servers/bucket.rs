//! A bucket at a server of one's own, and what must hold on each.

use crate::programs::{Programs, done, folder, free_port};
use convoy_objectstore::{
    CloudStore, Error, ErrorKind, Key, Keys, Limits, ObjectStore, Put, PutMode, S3Options,
    conformance,
};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bucket that each server has.
pub(crate) const BUCKET: &str = "bucket";

/// Makes a user and a bucket: four requests, after which moto checks every signature.
const MOTO_SETUP: &str = r#"
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

/// Makes a bucket, with a signature of the older kind: Python brings all that it takes.
const CEPH_SETUP: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
endpoint, key, secret = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
signature = base64.b64encode(hmac.new(secret.encode(), f"PUT\n\n\n{date}\n/bucket".encode(), hashlib.sha1).digest())
headers = {"Date": date, "Authorization": f"AWS {key}:{signature.decode()}"}
urllib.request.urlopen(urllib.request.Request(endpoint + "/bucket", method="PUT", headers=headers), timeout=60)
"#;

/// A server with a bucket and a user.
#[derive(Debug)]
pub(crate) struct Bucket {
    _programs: Programs,
    pub(crate) port: u16,
    pub(crate) keys: Keys,
}

impl Bucket {
    pub(crate) fn moto() -> Self {
        let tools = folder("CONVOY_MOTO").join("bin");
        let (mut programs, port) = (Programs::new(), free_port());
        let mut server = Command::new(tools.join("moto_server"));
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        programs.start(server.env("INITIAL_NO_AUTH_ACTION_COUNT", "3"));
        programs.wait(port);
        let endpoint = format!("http://127.0.0.1:{port}");
        let said = done(Command::new(tools.join("python3")).args(["-c", MOTO_SETUP, &endpoint]));
        let (id, secret) = said.trim().split_once(' ').expect("an id and a secret");
        Self {
            _programs: programs,
            port,
            keys: keys(id, secret),
        }
    }

    /// One monitor, one store in memory, one gateway; nobody asks who is there but the gateway.
    pub(crate) fn radosgw() -> Self {
        let ceph = Ceph(folder("CONVOY_RADOSGW"));
        let (mut programs, port, monitor) = (Programs::new(), free_port(), free_port());
        let here = programs.folder().to_owned();
        let config = here.join("ceph.conf");
        let (fsid, osd) = (
            "8c1b6d0e-5f0e-4b6e-9d3a-000000000001",
            "8c1b6d0e-5f0e-4b6e-9d3a-000000000002",
        );
        std::fs::write(&config, ceph.config(&here, port, monitor, fsid)).expect("write ceph.conf");
        for name in ["mon", "osd", "rgw"] {
            std::fs::create_dir(here.join(name)).expect("make a folder");
        }
        let ran = |program: &str, words: &[&str]| done(ceph.command(program, &config).args(words));
        let map = here.join("monmap");
        let map = map.to_str().expect("a temporary folder's name is text");
        let mut make_map = ceph.bare("monmaptool");
        let address = format!("[v1:127.0.0.1:{monitor}]");
        done(make_map.args(["--create", "--addv", "a", &address, "--fsid", fsid, map]));
        ran("ceph-mon", &["--mkfs", "-i", "a", "--monmap", map]);
        programs.start(ceph.command("ceph-mon", &config).args(["-i", "a", "-f"]));
        programs.wait(monitor);
        ran("ceph", &["osd", "new", osd]);
        ran("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", osd]);
        programs.start(ceph.command("ceph-osd", &config).args(["-i", "0", "-f"]));
        ran(
            "ceph",
            &[
                "osd",
                "crush",
                "add",
                "osd.0",
                "1.0",
                "host=h",
                "root=default",
            ],
        );
        let (id, secret) = ("AN-ID", "A-SECRET-OF-CEPH");
        let id_word = format!("--access-key={id}");
        let secret_word = format!("--secret={secret}");
        let user = [
            "-n",
            "client.rgw",
            "user",
            "create",
            "--uid=convoy",
            "--display-name=convoy",
        ];
        ran(
            "radosgw-admin",
            &[&user[..], &[&id_word, &secret_word]].concat(),
        );
        programs.start(
            ceph.command("radosgw", &config)
                .args(["-n", "client.rgw", "-f"]),
        );
        programs.wait(port);
        let endpoint = format!("http://127.0.0.1:{port}");
        done(Command::new("python3").args(["-c", CEPH_SETUP, &endpoint, id, secret]));
        Self {
            _programs: programs,
            port,
            keys: keys(id, secret),
        }
    }

    pub(crate) fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            keys: Some(self.keys.clone()),
            ..S3Options::default()
        }
    }
}

fn keys(id: &str, secret: &str) -> Keys {
    Keys {
        id: id.to_owned(),
        secret: secret.to_owned(),
        token: None,
    }
}

/// Ceph's packages, unpacked.
struct Ceph(std::path::PathBuf);

impl Ceph {
    fn bare(&self, program: &str) -> Command {
        let inside = |path: &str| self.0.join(path).display().to_string();
        let libraries = ["lib", "usr/lib"]
            .map(|lib| inside(&format!("{lib}/{}-linux-gnu", std::env::consts::ARCH)));
        let libraries = format!(
            "{}:{}/ceph",
            libraries.join(":"),
            libraries.last().expect("two")
        );
        let mut command = Command::new(self.0.join("usr/bin").join(program));
        command.env("LD_LIBRARY_PATH", libraries);
        command.env("PYTHONPATH", inside("usr/lib/python3/dist-packages"));
        command
    }

    fn command(&self, program: &str, config: &Path) -> Command {
        let mut command = self.bare(program);
        command.arg("-c").arg(config);
        command
    }

    fn config(&self, here: &Path, port: u16, monitor: u16, fsid: &str) -> String {
        let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let libraries = self.0.join(libraries);
        let (here, libraries) = (here.display(), libraries.display());
        let mut text = String::from("[global]\n");
        for line in [
            &format!("fsid = {fsid}"),
            &format!("mon host = v1:127.0.0.1:{monitor}"),
            "ms bind msgr2 = false",
            "auth cluster required = none",
            "auth service required = none",
            "auth client required = none",
            "osd objectstore = memstore",
            "memstore device bytes = 2147483648",
            "osd pool default size = 1",
            "osd pool default min size = 1",
            "osd pool default pg num = 4",
            "osd crush chooseleaf type = 0",
            // Else a store that starts on a busy machine may ask its monitor too early, and end.
            "osd crush update on start = false",
            "osd class update on start = false",
            "mon allow pool size one = true",
            "mon max pg per osd = 1000",
            &format!("mon data = {here}/mon"),
            &format!("osd data = {here}/osd"),
            &format!("rgw data = {here}/rgw"),
            &format!("run dir = {here}"),
            &format!("admin socket = {here}/$name.asok"),
            &format!("log file = {here}/$name.log"),
            &format!("erasure code dir = {libraries}/ceph/erasure-code"),
            &format!("osd class dir = {libraries}/rados-classes"),
            &format!("plugin dir = {libraries}/ceph"),
            &format!("rgw frontends = beast endpoint=127.0.0.1:{port}"),
        ] {
            writeln!(text, "{line}").expect("memory takes it");
        }
        text
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a key of the test's own")
}

/// A store that gives up soon, at this port.
pub(crate) fn hasty(server: &Bucket, port: u16, prefix: &str) -> CloudStore {
    let options = S3Options {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        limits: Limits {
            connect: Duration::from_secs(2),
            silence: Duration::from_secs(2),
            slowest: 1 << 20,
        },
        ..server.options()
    };
    CloudStore::s3(BUCKET, Some("us-east-1"), prefix, &options).expect("options that are good")
}

/// Runs a suite on stores of a fresh prefix each.
pub(crate) fn conforms(server: &Bucket, place: &str, check: fn(conformance::Make<'_>)) {
    let made = AtomicU64::new(0);
    check(&|| {
        let n = made.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{place}/{n}/");
        let store = CloudStore::s3(BUCKET, Some("us-east-1"), &prefix, &server.options());
        Arc::new(store.expect("options that are good")) as Arc<dyn ObjectStore>
    });
}

/// All that anybody may see of an error.
pub(crate) fn words(error: &Error) -> String {
    format!("{}{error:?}", convoy_fault::chain(error))
}

pub(crate) fn wrong_keys_are_told(server: &Bucket) {
    let secret = "an-absolute-secret".to_owned();
    let options = S3Options {
        keys: Some(Keys {
            secret: secret.clone(),
            token: None,
            ..server.keys.clone()
        }),
        ..server.options()
    };
    let store = CloudStore::s3(BUCKET, None, "", &options).expect("options that are good");
    let error = store.put(&key("a"), b"x", PutMode::Create).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth, "{}", words(&error));
    let seen = format!("{}{options:?}{store:?}", words(&error));
    assert!(seen.contains("SignatureDoesNotMatch"), "{seen}");
    assert!(
        !seen.contains(&secret) && !seen.contains(&server.keys.id),
        "{seen}"
    );
    let hint = convoy_fault::Fault::hint(&error).expect("there is one");
    assert!(hint.contains("credentials"), "{hint}");
}

pub(crate) fn a_bucket_that_is_not_there_is_told(server: &Bucket) {
    let store = CloudStore::s3("nobodys", None, "", &server.options()).expect("good options");
    for error in [
        store.put(&key("a"), b"x", PutMode::Create).unwrap_err(),
        store.get(&key("a")).unwrap_err(),
        store.list("", None, 10).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Permanent, "{}", words(&error));
        assert!(words(&error).contains("NoSuchBucket"), "{}", words(&error));
    }
}

/// Says which test runs as a child with an environment of its own.
const CHILD: &str = "CONVOY_TEST_CREDENTIALS_CHILD";

/// Amazon's library reads the process's environment, so each way has a process of its own: this test again.
pub(crate) fn credentials_are_found(server: &Bucket) {
    if let Ok(endpoint) = std::env::var(CHILD) {
        let options = S3Options {
            endpoint: Some(endpoint),
            ..S3Options::default()
        };
        let store = CloudStore::s3(BUCKET, None, "", &options).expect("good options");
        let put = store.put(&key("found"), b"x", PutMode::Overwrite);
        assert_eq!(
            put.unwrap_or_else(|error| panic!("{}", words(&error))),
            Put::Stored
        );
        return;
    }
    let home = tempfile::tempdir().expect("a home");
    let (id, secret) = (&server.keys.id, &server.keys.secret);
    let profile = format!("[other]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    std::fs::write(home.path().join(".aws/credentials"), profile).expect("a file");
    let process = format!(
        "#!/bin/sh\necho '{{\"Version\":1,\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\"}}'\n"
    );
    let script = home.path().join("give");
    std::fs::write(&script, process).expect("a file");
    let config = format!(
        "[profile asked]\ncredential_process = /bin/sh {}\n",
        script.display()
    );
    std::fs::write(home.path().join(".aws/config"), config).expect("a file");
    let ways: [&[(&str, &str)]; 3] = [
        &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)],
        &[("AWS_PROFILE", "other")],
        &[("AWS_PROFILE", "asked")],
    ];
    for way in ways {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args([
            "--exact",
            "moto::credentials_are_found_where_amazons_tools_find_them",
        ]);
        child
            .env_clear()
            .env("HOME", home.path())
            .env("AWS_EC2_METADATA_DISABLED", "true");
        child.env("CONVOY_MOTO", folder("CONVOY_MOTO"));
        child.env(CHILD, format!("http://127.0.0.1:{}", server.port));
        done(child.envs(way.iter().copied()));
    }
}
