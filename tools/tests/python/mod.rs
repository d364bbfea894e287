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
    let script = "import sys, struct, admf_decode\n\
                  data = sys.stdin.buffer.read()\n\
                  for value, in struct.iter_unpack('<d', data): print(admf_decode.real(value))";
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let told = run(script, bytes)?;
    let lines = String::from_utf8_lossy(&told);
    Some(lines.lines().map(str::to_owned).collect())
}

/// The contents, one behind the other, of Zstandard frames with these sizes of content; `None`,
/// loudly, where there is no Python.
#[allow(dead_code, reason = "not every test compresses")]
pub(crate) fn decompress(packed: &[(&[u8], usize)]) -> Option<Vec<u8>> {
    let script = "import sys, struct, admf_zstd\n\
                  source = sys.stdin.buffer\n\
                  while head := source.read(8):\n\
                  \x20   packed, size = struct.unpack('<II', head)\n\
                  \x20   sys.stdout.buffer.write(admf_zstd.decompress(source.read(packed), size))";
    let mut input = Vec::new();
    for (packed, bytes) in packed {
        input.extend((packed.len() as u32).to_le_bytes());
        input.extend((*bytes as u32).to_le_bytes());
        input.extend_from_slice(packed);
    }
    run(script, input)
}

/// What a script that knows the decoder prints; `None`, loudly, where there is no Python.
fn run(script: &str, input: Vec<u8>) -> Option<Vec<u8>> {
    use std::io::Write;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
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
    let mut pipe = child.stdin.take().expect("a pipe");
    // It answers before it has read all.
    let writer = std::thread::spawn(move || pipe.write_all(&input).expect("it reads"));
    let out = child.wait_with_output().expect("it ends");
    writer.join().expect("it wrote");
    assert!(out.status.success());
    Some(out.stdout)
}
