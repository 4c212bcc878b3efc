//! The committed head is what the committed data, seed and settings give; needs `make setup`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use fingerpost_classifier::{
    config::Config,
    train::{LabelTask, TrainReport, TrainRequest, train},
};

#[test]
fn retraining_gives_the_committed_report() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::load(&here.join("classifier.yaml")).unwrap();
    let head: PathBuf = config.heads.category.clone().unwrap();
    let committed = std::fs::read(head.join("report.json")).unwrap();
    let committed: TrainReport = serde_json::from_slice(&committed).unwrap();
    let request = TrainRequest {
        task: LabelTask::Category,
        validation: Vec::new(),
        test: Vec::new(),
        data: vec![here.join("data/category")],
        // The report is of the held-out test, before any refit.
        out: None,
        features: committed.features.clone(),
        fit: committed.fit.clone(),
        background: committed.background.clone(),
        final_on_all: false,
        progress: false,
    };
    let report = train(&config, &request).unwrap();
    assert_eq!(report.data_sha256, committed.data_sha256, "the data changed: train anew and commit head and report");
    assert_eq!(report.encoder, committed.encoder);
    assert_eq!(report.parts, committed.parts);
    for (what, ours, theirs) in [
        ("accuracy", report.test.accuracy, committed.test.accuracy),
        ("macro-F1", report.test.macro_f1, committed.test.macro_f1),
        ("calibration error", report.test.calibration_error, committed.test.calibration_error),
        ("calibration error before", report.calibration_error_before, committed.calibration_error_before),
        ("validation accuracy", report.validation_accuracy, committed.validation_accuracy),
    ] {
        assert!((ours - theirs).abs() <= 0.005, "{what}: {ours}, committed {theirs}");
    }
    let weights = std::fs::metadata(head.join("head.safetensors")).unwrap().len();
    assert!(weights < 2_000_000, "{weights} bytes");
}
