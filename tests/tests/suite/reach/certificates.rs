//! Which certificates of servers are trusted.

use usher_tests::cluster::Certificate;
use usher_tests::janitor::Scratch;

use super::{certified, refuses, serves, usher};

#[tokio::test]
async fn certificates_made_as_in_the_manual_are_trusted() {
    for (kind, name) in [
        (Certificate::SelfSigned, "localhost"),
        (Certificate::SelfSignedV1, "localhost"),
        (Certificate::Authority, "localhost"),
        (Certificate::AuthorityV1, "localhost"),
        (Certificate::AuthorityAddress, "127.0.0.1"),
    ] {
        let scratch = Scratch::new();
        let (cluster, file) = certified(&scratch, kind, name).await;
        let url = |host: &str, mode: &str| {
            let url = cluster.url().replace("@127.0.0.1", &format!("@{host}"));
            format!("{url}?sslmode={mode}&sslrootcert={file}")
        };
        for mode in ["require", "verify-ca", "verify-full"] {
            serves(
                usher(&scratch, &url(name, mode)),
                &format!("{kind:?} {mode}"),
            )
            .await;
        }
        for mode in ["prefer", "allow", "require"] {
            let url = format!("{}?sslmode={mode}", cluster.url());
            serves(usher(&scratch, &url), &format!("{kind:?} {mode} alone")).await;
        }
        // By another name of the same server.
        let other = if name == "localhost" {
            "127.0.0.1"
        } else {
            "localhost"
        };
        serves(
            usher(&scratch, &url(other, "verify-ca")),
            &format!("{kind:?} as {other}"),
        )
        .await;
        let url = url(other, "verify-full");
        refuses(
            usher(&scratch, &url),
            &format!("{kind:?} as {other}"),
            &["certificate"],
        );
    }
}

/// Another server's certificate of the same kind is not trusted.
#[tokio::test]
async fn certificates_without_trusted_issuer_are_refused() {
    for kind in [
        Certificate::SelfSigned,
        Certificate::SelfSignedV1,
        Certificate::Authority,
        Certificate::AuthorityV1,
    ] {
        let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
        let (cluster, _) = certified(&scratch, kind, "localhost").await;
        let (other, web_server) = certified(&elsewhere, kind, "localhost").await;
        drop(other);
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = cluster.url().replace("127.0.0.1", "localhost");
            let url = format!("{url}?sslmode={mode}&sslrootcert={web_server}");
            let ended = refuses(
                usher(&scratch, &url),
                &format!("{kind:?} {mode}"),
                &["certificate"],
            );
            assert_eq!(ended.code(), Some(2), "{kind:?} {mode}");
        }
    }
}
