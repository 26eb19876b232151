//! Rows that a component asks for in one value.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use usher::sandbox::Source;
use usher_testing::TestApp;
use usher_testing::calls::Outcome;

use crate::databases::ALL;

const SQL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sql.wasm"));

/// Two rows of every type that both databases return.
const ROWS: &str = "CAST(1 AS bigint) AS a, 'é' AS b, CAST(0.5 AS double precision) AS c \
    UNION ALL SELECT 2, NULL, -1.0 ORDER BY 1";

/// The same rows in the layout that docs/database.md describes.
fn packed() -> String {
    let bytes = [
        &[3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0][..],
        &[2, 1, 0, 0, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 0, 2, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
        &[2, 2, 0, 0, 0, 0, 0, 0, 0],
        &[0; 9],
        &[3, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf],
        &[0xc3, 0xa9],
    ];
    let mut hex = String::new();
    for byte in bytes.concat() {
        write!(hex, "{byte:02x}").expect("it is text");
    }
    hex
}

async fn results(app: &TestApp, steps: Value) -> Vec<Value> {
    let response = app.post("/").json(&steps).await.expect("a response");
    response.expect_status(200).json()
}

#[tokio::test]
async fn packed_rows_are_limited_and_recorded_as_rows() {
    for kind in ALL {
        let fresh = kind.fresh().await;
        let database = fresh.open(|config| config.max_rows_bytes = 10_000).await;
        let app = TestApp::builder()
            .component(Source::Bytes(Arc::from(SQL)))
            .database(database)
            .any_statements()
            .start()
            .await
            .expect("a component");
        let asked = format!("SELECT /* usher:packed */ {ROWS}");
        let one = json!({"columns": ["a", "b", "c"], "rows": [[{"bytes": packed()}]]});
        let plain = json!([[1, "é", {"real": "0.5"}], [2, null, {"real": "-1.0"}]]);

        let one_column = "SELECT /* usher:packed */ 1 AS a UNION ALL SELECT 2 ORDER BY 1";
        let steps = json!([
            {"do": "query", "sql": asked},
            {"do": "cursor", "sql": asked},
            {"do": "query", "sql": format!("SELECT {ROWS}")},
            {"do": "begin"},
            {"do": "query", "sql": asked},
            {"do": "query", "sql": one_column},
            {"do": "query", "sql": "SELECT /* usher:packed */ 1 AS a, 2 AS b WHERE 1 = 0"},
        ]);
        let results = results(&app, steps).await;
        assert_eq!(results[0], one, "{kind:?}");
        assert_eq!(results[1], one, "{kind:?}");
        assert_eq!(results[2]["rows"], plain, "{kind:?}");
        assert_eq!(results[4], one, "{kind:?}");
        assert_eq!(results[5]["rows"], json!([[1], [2]]), "{kind:?}");
        assert_eq!(results[6]["rows"], json!([]), "{kind:?}");

        let calls = app.calls();
        let returned: Vec<usize> = calls
            .iter()
            .filter(|call| call.event.to_string().contains("usher:packed"))
            .filter_map(|call| match call.outcome {
                Outcome::Rows(rows) => Some(rows),
                _ => None,
            })
            .collect();
        assert_eq!(returned[..1], [2], "{kind:?}: {calls:?}");

        let long = "SELECT /* usher:packed */ a, b FROM \
            (SELECT 1 AS a, CAST($1 AS text) AS b UNION ALL SELECT 2, CAST($1 AS text)) AS t";
        let step = json!({"do": "query", "sql": long, "params": ["x".repeat(6_000)]});
        let over = app.post("/").json(&step).await.expect("a response");
        let over: Value = over.expect_status(200).json();
        assert_eq!(over["error"], "too-large", "{kind:?}: {over}");
        drop(app);
        fresh.end().await;
    }
}
