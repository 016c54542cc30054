//! A client of another make, aiortc, through the plain HTTP API.

mod support;

use serde_json::Value;

use support::media::Clip;
use support::publish::Publisher;
use support::python;
use support::server::Server;

fn decodes_sixty_pictures(video: Clip, further: &[&str]) {
    let server = Server::start(&[]);
    let _video = Publisher::start(server.http(), "cam-1", video);
    let _audio = Publisher::start(server.http(), "cam-1", Clip::tiny_opus());
    let output = python::script("tests/aiortc/decode.py")
        .args([
            "--base",
            &format!("http://{}", server.http()),
            "--device",
            "cam-1",
            "--frames",
            "60",
        ])
        .args(further)
        .output()
        .expect("Python runs; see .ci/run for what this test needs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let result: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert_eq!(result["pictures"], 60, "{result}");
    assert_eq!(result["sounds"], 60, "{result}");
    assert_eq!(
        (result["width"].as_u64(), result["height"].as_u64()),
        (Some(160), Some(120)),
        "{result}"
    );
    assert_eq!(result["channel"], "control", "{result}");
}

#[test]
#[ignore = "needs Python with aiortc"]
fn aiortc_decodes_h264_and_opus() {
    decodes_sixty_pictures(Clip::tiny_h264(), &[]);
}

#[test]
#[ignore = "needs Python with aiortc"]
fn aiortc_decodes_vp8_and_opus() {
    decodes_sixty_pictures(Clip::tiny_vp8(), &[]);
}

#[test]
#[ignore = "needs Python with aiortc"]
fn aiortc_without_aes_gcm_decodes_h264_and_opus() {
    decodes_sixty_pictures(Clip::tiny_h264(), &["--without-gcm"]);
}
