//! The independent decoder, run on a path.

use std::path::Path;
use std::process::Command;

/// What `admf_decode.py` prints; `None`, loudly, where there is no Python.
#[allow(dead_code, reason = "not every test decodes files")]
pub(crate) fn decode(path: &Path) -> Option<Vec<u8>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/admf_decode.py");
    match Command::new("python3")
        .arg("-B")
        .arg(&script)
        .arg(path)
        .output()
    {
        Ok(out) => {
            let told = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{}: {told}", path.display());
            Some(out.stdout)
        }
        Err(error) => {
            eprintln!("SKIPPED: the Python decoder was not compared, python3: {error}");
            None
        }
    }
}

/// What the independent decoder makes of each number; `None`, loudly, where there is no Python.
#[allow(dead_code, reason = "not every test writes numbers")]
pub(crate) fn numbers(values: &[f64]) -> Option<Vec<String>> {
    use std::io::Write;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let script = "import sys, struct, admf_decode\n\
                  data = sys.stdin.buffer.read()\n\
                  for value, in struct.iter_unpack('<d', data): print(admf_decode.real(value))";
    let started = Command::new("python3")
        .args(["-B", "-c", script])
        .env("PYTHONPATH", folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: the Python decoder was not compared, python3: {error}");
            return None;
        }
    };
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(&bytes).expect("it reads");
    drop(input);
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success());
    Some(
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
    )
}
