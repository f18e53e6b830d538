//! Swagger UI, as a browser without a network gets it.

use super::scene::Scene;
use super::scene::http::{Ask, Caller};
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_needs_nobody_but_its_node() {
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let get = async |path: &str| caller.text(0, Method::GET, path, Ask::default()).await;

    // The client follows the redirect.
    let (answer, _) = get("/docs").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html"));
    let (answer, initializer) = get("/docs/swagger-initializer.js").await;
    assert_eq!(answer.status, 200);
    assert!(initializer.contains("../openapi.json"), "{initializer}");
    for elsewhere in ["http://", "https://", "swagger.io"] {
        assert!(!initializer.contains(elsewhere), "{initializer}");
    }
    // Compressed, which this client does not undo: the browser does.
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "index.css", "favicon-32x32.png"] {
        let (answer, _) = get(&format!("/docs/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.header("content-encoding"), "gzip", "{file}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'self'") && !policy.contains("http"), "{policy}");
    }
    let (answer, _) = get("/docs/nothing.js").await;
    assert_eq!((answer.status, answer.kind()), (404, "/problems/not-found"));
}
