#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const GOOD: &str = "encoder: {path: '${CACHE:-~/c}/enc'}\nheads: {category: heads/category}\n";

fn env(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/u".to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/fp/classifier.yaml"), text, env)
}

fn refused(extra: &str) -> String {
    parse(&format!("{GOOD}{extra}")).unwrap_err().to_string()
}

#[test]
fn paths_are_expanded_and_relative_to_the_file() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.encoder.path.unwrap(), Path::new("/home/u/c/enc"));
    let head = config.heads.category.unwrap();
    assert_eq!(head, Path::new("/etc/fp/heads/category"));
    assert_eq!(config.limits.window_tokens, 128);
}

#[test]
fn the_committed_file_is_good_and_says_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier.yaml");
    let config = Config::parse(&file, &std::fs::read_to_string(&file).unwrap(), env).unwrap();
    assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
    assert_eq!(config.listen, default_listen());
    assert_eq!(config.metrics_listen, default_metrics_listen());
}

#[test]
fn errors_name_file_path_and_fix() {
    for (extra, wanted) in [
        ("limits: {quue: 1}\n", &["/etc/fp/classifier.yaml", "limits", "quue"][..]),
        ("limits: {queue: many}\n", &["limits.queue"]),
        ("limits: {queue: 0}\n", &["limits.queue", "1 or more"]),
        ("device: tpu\n", &["device", "tpu", "cuda:N"]),
        ("dtype: bf16\n", &["dtype", "f32"]),
        ("dtype: f64\n", &["dtype", "f64"]),
        ("limits: {window_overlap: 126}\n", &["limits.window_overlap", "126"]),
        ("limits: {batch_tokens: 127}\n", &["limits.batch_tokens", "window_tokens"]),
        ("listen: nowhere\n", &["listen"]),
    ] {
        let message = refused(extra);
        for part in wanted {
            assert!(message.contains(part), "{extra:?}: {message:?} lacks {part:?}");
        }
    }
}

#[test]
fn the_encoder_has_exactly_one_source() {
    let heads = "heads: {}\n";
    let none = parse(&format!("encoder: {{}}\n{heads}")).unwrap_err().to_string();
    assert!(none.contains("`path` or `hf`"), "{none}");
    let unset = parse(&format!("encoder: {{path: '${{NOPE}}/x'}}\n{heads}")).unwrap_err();
    assert!(unset.to_string().contains("`NOPE` is not set"), "{unset}");
    let hub = format!("encoder: {{hf: {{repository: owner/name}}}}\n{heads}");
    assert_eq!(parse(&hub).unwrap().encoder.hf.unwrap().revision, "main");
    let bad = format!("encoder: {{hf: {{repository: name}}}}\n{heads}");
    assert!(parse(&bad).unwrap_err().to_string().contains("owner/name"));
}
