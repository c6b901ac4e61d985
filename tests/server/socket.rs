use crate::support::live::{Server, block_on, flightdeck, program};
use flightdeck::server::{Access, SocketError, bind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn socket_and_folder_are_the_owners_alone() {
    let server = Server::start();
    assert_eq!(mode(&server.socket()), 0o600);
    assert_eq!(mode(&server.path().join("run")), 0o700);
    assert_eq!(mode(&server.path().join("data")), 0o700);
}

#[test]
fn a_group_may_connect_where_that_was_said() {
    let gid = rustix::process::getgid();
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid.as_raw())).unwrap().unwrap().name;
    let server = Server::start_with(&["--group", &group]);
    assert_eq!(mode(&server.socket()), 0o660);
    assert_eq!(mode(&server.path().join("run")), 0o750);
    assert_eq!(std::fs::metadata(server.socket()).unwrap().gid(), gid.as_raw());
    assert_eq!(std::fs::metadata(server.path().join("run")).unwrap().gid(), gid.as_raw());

    let dir = tempfile::tempdir().unwrap();
    let wrong = flightdeck(dir.path(), &["serve", "--group", "no-such-group"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("there is no group \"no-such-group\""), "{}", wrong.err);
    // The socket would lie in a folder that only the owner may enter.
    let inside = program(dir.path()).env_remove("FLIGHTDECK_RUNTIME_DIR").args(["serve", "--group", &group]).output();
    let inside = inside.unwrap();
    assert_eq!(inside.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&inside.stderr).contains("can't reach a socket"));
}

#[test]
fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/server.sock");
    std::fs::create_dir(dir.path().join("run")).unwrap();
    // Dropping a listener leaves its file behind, as a killed server does.
    drop(UnixListener::bind(&path).unwrap());
    block_on(async {
        let first = bind(&path, &Access::Owner).await.unwrap();
        match bind(&path, &Access::Owner).await {
            Err(SocketError::Taken { owner, .. }) => {
                assert!(owner.contains(&std::process::id().to_string()), "{owner}");
            }
            other => panic!("{other:?}"),
        }
        assert!(path.exists(), "the refused one must not remove it");
        drop(first);
        assert!(!path.exists());
        // Not one of ours, without our lock, but alive.
        let other = UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path, &Access::Owner).await, Err(SocketError::Taken { .. })));
        drop(other);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path, &Access::Owner).await, Err(SocketError::InTheWay { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    });
}

#[test]
fn a_second_server_on_the_same_data_is_refused_by_name() {
    let gid = rustix::process::getgid();
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid.as_raw())).unwrap().unwrap().name;
    let server = Server::start_with(&["--group", &group]);
    let named = format!("pid {}, flightdeck serve", server.pid());
    // On the same socket, with the same data or other: nothing of the first one's is changed, nothing is made.
    let other = server.path().join("other");
    for data in [server.path().join("data"), other.clone()] {
        let second = program(server.path()).env("FLIGHTDECK_DATA_DIR", &data).arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains("already listening at") && said.contains(&named), "{said}");
        assert_eq!((mode(&server.path().join("run")), mode(&server.socket())), (0o750, 0o660));
    }
    assert!(!other.exists());
    // On a socket of its own, but with the same data.
    let second =
        program(server.path()).env("FLIGHTDECK_RUNTIME_DIR", server.path().join("run2")).arg("serve").output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("belongs to another server: ") && said.contains(&named), "{said}");
    block_on(server.client().healthy()).unwrap();
}
