use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;

/// A configuration file, and the reloader of a server that was started with it.
struct Setup {
    directory: tempfile::TempDir,
    reloader: Reloader,
}

fn inputs(file: &Path) -> Inputs {
    let args = ["media-service".into(), "--config".into(), file.into()];
    Inputs::new(args, [])
}

impl Setup {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("media.toml");
        fs::write(&file, text).unwrap();
        Self::of(directory, &file)
    }

    fn of(directory: tempfile::TempDir, file: &Path) -> Self {
        let inputs = inputs(file);
        let Ok(Command::Serve(config)) = inputs.load() else {
            panic!("it serves");
        };
        let reloader = Reloader::new(inputs, Arc::new(config));
        Self {
            directory,
            reloader,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the file, at another time than before, whatever the resolution of the clock.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let before = fs::metadata(&path).and_then(|found| found.modified());
        fs::write(&path, text).unwrap();
        let later = before.unwrap_or_else(|_| SystemTime::now()) + Duration::from_secs(1);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(later).unwrap();
    }

    fn applied(&mut self) -> (Arc<Update>, Vec<&'static str>, Vec<&'static str>) {
        match self.reloader.reload() {
            Reloaded::Applied {
                update,
                applied,
                waiting,
            } => (update, applied, waiting),
            other => panic!("{other:?}"),
        }
    }

    /// Looks at the files twice, as the server does in two seconds.
    fn changed(&mut self) -> bool {
        self.reloader.files_changed() || self.reloader.files_changed()
    }
}

#[test]
fn what_can_be_applied_is_and_what_waits_for_a_restart_keeps_its_value() {
    let mut setup = Setup::new("[limits]\nsessions = 5\n");
    let text = "[limits]\nsessions = 7\n[server]\nshards = 3\nlisten = '127.0.0.1:1'\n";
    setup.write("media.toml", text);
    let (update, applied, waiting) = setup.applied();
    assert_eq!(applied, ["limits.sessions"]);
    assert_eq!(waiting, ["server.listen", "server.shards"]);
    assert_eq!(update.config.limits.sessions.get(), Some(7));
    assert_eq!(update.config.server, Config::default().server);

    // What waits is told each time, what is applied once.
    match setup.reloader.reload() {
        Reloaded::Unchanged { waiting } => assert_eq!(waiting.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_at_fault_changes_nothing_and_every_fault_is_named() {
    let mut setup = Setup::new("[limits]\nsessions = 5\n");
    let text = "[limits]\nsessions = 7\ndevices = 'many'\n[log]\nlevel = 'loud'\n";
    setup.write("media.toml", text);
    match setup.reloader.reload() {
        Reloaded::Refused(faults) => assert_eq!(faults.faults().len(), 2, "{faults}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(setup.reloader.running().limits.sessions.get(), Some(5));
    // It is not tried again until it is another one.
    assert!(!setup.changed());
    setup.write("media.toml", "[limits]\nsessions = 7\n");
    assert!(setup.changed());
    assert_eq!(setup.applied().1, ["limits.sessions"]);
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let mut setup = Setup::new("[limits]\nsessions = 5\n");
    for size in 0..3 {
        setup.write("media.toml", &"#".repeat(size));
        assert!(!setup.reloader.files_changed(), "it was changed just now");
    }
    assert!(setup.reloader.files_changed());
    setup.reloader.reload();
    assert!(!setup.changed());
}

#[test]
fn a_file_that_was_written_while_the_server_started_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("media.toml");
    fs::write(&file, "[limits]\nsessions = 5\n").unwrap();
    let inputs = inputs(&file);
    let Ok(Command::Serve(config)) = inputs.load() else {
        panic!("it serves");
    };
    fs::write(&file, "[limits]\nsessions = 6\n").unwrap();
    let reloader = Reloader::new(inputs, Arc::new(config));
    let mut setup = Setup {
        directory,
        reloader,
    };
    assert!(setup.changed());
    assert_eq!(setup.applied().1, ["limits.sessions"]);
    assert!(!setup.changed());
}

#[test]
fn a_file_that_is_gone_keeps_the_configuration_until_it_is_back() {
    let mut setup = Setup::new("[limits]\nsessions = 5\n");
    fs::remove_file(setup.path("media.toml")).unwrap();
    assert!(setup.changed());
    assert!(matches!(setup.reloader.reload(), Reloaded::Refused(_)));
    assert!(!setup.changed());
    setup.write("media.toml", "[limits]\nsessions = 6\n");
    assert!(setup.changed());
    assert_eq!(setup.applied().1, ["limits.sessions"]);
}

#[test]
fn the_swap_of_a_link_is_a_change_as_kubernetes_makes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, sessions) in [("..1", 5), ("..2", 6)] {
        fs::create_dir(path(name)).unwrap();
        let text = format!("[limits]\nsessions = {sessions}\n");
        fs::write(path(name).join("media.toml"), text).unwrap();
    }
    symlink("..1", path("..data")).unwrap();
    symlink("..data/media.toml", path("media.toml")).unwrap();
    let (swapped, data, file) = (path("..data_tmp"), path("..data"), path("media.toml"));
    let mut setup = Setup::of(directory, &file);
    assert!(!setup.changed());
    symlink("..2", &swapped).unwrap();
    fs::rename(&swapped, &data).unwrap();
    assert!(setup.changed());
    assert_eq!(setup.applied().0.config.limits.sessions.get(), Some(6));
}

#[test]
fn a_key_is_rotated_in_its_place() {
    let keys = Path::new("tests/keys");
    let mut setup = Setup::new("");
    let key = setup.path("key.pem");
    fs::copy(keys.join("ed25519.pub.pem"), &key).unwrap();
    let text = format!("[auth]\njwt_public_key = '{}'\n", key.display());
    setup.write("media.toml", &text);
    // Whoever is there was let in without a token.
    match setup.reloader.reload() {
        Reloaded::Unchanged { waiting } => assert_eq!(waiting, ["auth.jwt_public_key"]),
        other => panic!("{other:?}"),
    }

    let file = setup.path("media.toml");
    let mut setup = Setup::of(setup.directory, &file);
    let rsa = fs::read_to_string(keys.join("rsa2048.pub.pem")).unwrap();
    setup.write("key.pem", &rsa);
    assert!(setup.changed());
    let (update, applied, _) = setup.applied();
    assert_eq!(applied, ["auth.jwt_public_key"]);
    assert!(update.auth.is_some());

    setup.write("media.toml", "[auth]\nsignup = false\n");
    let (update, applied, waiting) = setup.applied();
    assert_eq!(
        (applied, waiting),
        (vec!["auth.signup"], vec!["auth.jwt_public_key"])
    );
    assert!(update.auth.is_some(), "nobody is let in without a token");
}

#[test]
fn a_certificate_is_rotated_in_its_place() {
    let pair = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    };
    let mut setup = Setup::new("");
    let (cert, key) = pair();
    setup.write("cert.pem", &cert);
    setup.write("key.pem", &key);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| setup.path(name));
    let files = format!(
        "[tls]\ncert = '{}'\nkey = '{}'\n",
        cert.display(),
        key.display()
    );
    setup.write("media.toml", &files);
    // Clients know the address as one that is plain.
    match setup.reloader.reload() {
        Reloaded::Unchanged { waiting } => assert_eq!(waiting, ["tls.cert", "tls.key"]),
        other => panic!("{other:?}"),
    }

    let file = setup.path("media.toml");
    let mut setup = Setup::of(setup.directory, &file);
    let (cert, key) = pair();
    setup.write("cert.pem", &cert);
    assert!(setup.changed());
    assert!(matches!(setup.reloader.reload(), Reloaded::Refused(_)));
    setup.write("key.pem", &key);
    assert!(setup.changed());
    let (update, applied, _) = setup.applied();
    assert_eq!(applied, ["tls.cert", "tls.key"]);
    let tls = update.tls.clone().expect("a new certificate");

    // What follows has it too: a shard may have missed the one before.
    setup.write("media.toml", &format!("{files}hsts = '1h'\n"));
    let (update, applied, _) = setup.applied();
    assert_eq!(applied, ["tls.hsts"]);
    assert!(
        update
            .tls
            .as_ref()
            .is_some_and(|same| Arc::ptr_eq(same, &tls))
    );
}

#[test]
fn nothing_that_is_handed_around_shows_a_secret() {
    let (secret, key) = (
        "0123456789abcdef0123456789abcdef",
        rcgen::KeyPair::generate().unwrap(),
    );
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let setup = Setup::new("");
    setup.write("cert.pem", &params.self_signed(&key).unwrap().pem());
    setup.write("key.pem", &key.serialize_pem());
    let [cert, key_file] = ["cert.pem", "key.pem"].map(|name| setup.path(name));
    let text = format!(
        "[auth]\njwt_secret = '{secret}'\n[tls]\ncert = '{}'\nkey = '{}'\n",
        cert.display(),
        key_file.display()
    );
    setup.write("media.toml", &text);
    let Ok(Command::Serve(config)) = inputs(&setup.path("media.toml")).load() else {
        panic!("it serves");
    };
    let tls = tls::load(&config.tls).unwrap();
    assert!(tls.is_some());
    let shown = format!(
        "{:?}",
        Update {
            tls,
            ..Update::new(config)
        }
    );
    // The last bytes of the key's file are those of the public one.
    let private = format!("{:?}", &key.serialize_der()[36..68]);
    for hidden in [secret, "PRIVATE KEY", private.trim_matches(['[', ']'])] {
        assert!(!shown.contains(hidden), "{hidden}");
    }
}
