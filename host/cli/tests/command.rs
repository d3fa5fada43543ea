//! The command as its users meet it: results, exit codes, messages, and no half-written files.

use assert_cmd::Command;
use std::path::{Path, PathBuf};

/// A folder with the keys of a toy parameter set, ciphertexts of 3 and 5, and a table that squares.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.done(&["keygen", "--set", "TOY_INSECURE", "--out", "keys"]);
        files.done(&["encrypt", "--key", "keys/client.key", "3", "5", "--out", "in.npy"]);
        files.table("lut.npy", |x| x * x % 16);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).assert().success();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    }

    /// Makes a look-up table with the command.
    fn table(&self, name: &str, f: impl Fn(u64) -> u64) {
        let values: Vec<String> = (0..16).map(|x| f(x).to_string()).collect();
        let mut arguments = vec!["lut", "--set", "TOY_INSECURE", "--out", name];
        arguments.extend(values.iter().map(String::as_str));
        self.done(&arguments);
    }

    fn bootstrap(&self, device: &'static str) -> Vec<&'static str> {
        let rest = "bootstrap --params keys/params.toml --bsk keys/bsk.npy --ksk keys/ksk.npy --lut lut.npy --in in.npy \
                    --out out.npy --device";
        rest.split_whitespace().chain([device]).collect()
    }

    /// Runs a command that must end with exit code 2, a message with every one of `words`, and no new file.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let before = listing(self.folder.path());
        let output = self.command(arguments).assert().code(2);
        let message = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        for word in words {
            assert!(message.contains(word), "{arguments:?} said: {message}\nwhich lacks {word:?}");
        }
        assert!(!message.contains("panicked"), "{message}");
        assert_eq!(listing(self.folder.path()), before, "{arguments:?} left files behind");
    }
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    names
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{}: no {from:?} in\n{text}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn bootstrap_on_cpu_and_golden_writes_the_same_words_and_decrypts_to_the_squares() {
    let files = Files::new();
    let mut outputs = vec![];
    for device in ["cpu", "golden"] {
        let mut arguments = files.bootstrap(device);
        arguments.push("--json");
        let summary: serde_json::Value = serde_json::from_str(&files.done(&arguments)).unwrap();
        assert_eq!(summary["device"], device);
        assert_eq!(summary["bootstraps"], 2);
        assert!(summary["wall_seconds"].as_f64().unwrap() > 0.0);
        outputs.push(std::fs::read(files.path("out.npy")).unwrap());
        assert_eq!(files.done(&["decrypt", "--key", "keys/client.key", "--in", "out.npy"]), "9\n9\n");
    }
    assert!(outputs[0] == outputs[1], "cpu and golden wrote different files");
}

#[test]
fn bootstrap_with_one_table_a_ciphertext_uses_each() {
    let files = Files::new();
    files.table("a.npy", |x| (x + 1) % 16);
    files.table("b.npy", |x| 15 - x);
    let read = |name: &str| -> ndarray::ArrayD<u64> { ndarray_npy::read_npy(files.path(name)).unwrap() };
    let both = ndarray::concatenate(ndarray::Axis(0), &[read("a.npy").view(), read("b.npy").view()]).unwrap();
    ndarray_npy::write_npy(files.path("lut.npy"), &both).unwrap();
    files.done(&files.bootstrap("cpu"));
    assert_eq!(files.done(&["decrypt", "--key", "keys/client.key", "--in", "out.npy"]), "4\n10\n");
}

#[test]
fn bootstrap_truncated_array_is_refused() {
    let files = Files::new();
    for name in ["in.npy", "lut.npy", "keys/bsk.npy", "keys/ksk.npy"] {
        let whole = std::fs::read(files.path(name)).unwrap();
        for length in [0, 5, 40, whole.len() - 8, whole.len() - 1] {
            std::fs::write(files.path(name), &whole[..length]).unwrap();
            files.refused(&files.bootstrap("cpu"), &[name]);
        }
        std::fs::write(files.path(name), whole).unwrap();
    }
}

#[test]
fn bootstrap_wrong_shape_or_type_is_refused() {
    let files = Files::new();
    let good = std::fs::read(files.path("in.npy")).unwrap();
    ndarray_npy::write_npy(files.path("in.npy"), &ndarray::Array2::<u64>::zeros((2, 17))).unwrap();
    files.refused(&files.bootstrap("cpu"), &["in.npy", "17", "257"]);
    ndarray_npy::write_npy(files.path("in.npy"), &ndarray::Array2::<f64>::zeros((2, 257))).unwrap();
    files.refused(&files.bootstrap("cpu"), &["in.npy"]);
    std::fs::write(files.path("in.npy"), &good).unwrap();
    ndarray_npy::write_npy(files.path("lut.npy"), &ndarray::Array3::<u64>::zeros((3, 2, 256))).unwrap();
    files.refused(&files.bootstrap("cpu"), &["lut.npy", "3 look-up tables for 2 ciphertexts"]);
}

#[test]
fn bootstrap_bad_parameter_file_is_refused() {
    let files = Files::new();
    let path = files.path("keys/params.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let cases = [
        ("N = 256", "N = 3", "N"),
        ("N = 256", "N = -1", "params.toml"),
        ("N = 256", "", "params.toml"),
        ("pbs_level = ", "pbs_level = 9", "params.toml"),
        ("modulus_switch = ", "modulus_switch = \"sideways\" #", "params.toml"),
        ("N = 256", "N = 256\nsurprise = 1", "surprise"),
    ];
    for (from, to, word) in cases {
        replace(&path, from, to);
        files.refused(&files.bootstrap("cpu"), &["params.toml", word]);
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn bootstrap_keys_that_do_not_match_the_parameters_are_refused() {
    let files = Files::new();
    let path = files.path("keys/params.toml");
    replace(&path, "n = 10", "n = 11");
    files.refused(&files.bootstrap("cpu"), &["ksk.npy", "[256, 4, 11]", "[256, 4, 12]"]);
    replace(&path, "n = 11", "n = 10");
    std::fs::copy(files.path("keys/bsk.npy"), files.path("keys/ksk.npy")).unwrap();
    files.refused(&files.bootstrap("cpu"), &["ksk.npy"]);
}

#[test]
fn bootstrap_missing_file_or_folder_is_refused() {
    let files = Files::new();
    std::fs::rename(files.path("lut.npy"), files.path("kept.npy")).unwrap();
    files.refused(&files.bootstrap("cpu"), &["lut.npy"]);
    std::fs::rename(files.path("kept.npy"), files.path("lut.npy")).unwrap();
    let mut arguments = files.bootstrap("cpu");
    let at = arguments.iter().position(|&a| a == "out.npy").unwrap();
    arguments[at] = "nowhere/out.npy";
    files.refused(&arguments, &["nowhere"]);
}

#[test]
fn bootstrap_device_that_is_not_there_is_refused() {
    let files = Files::new();
    files.refused(&files.bootstrap("vfio-user:nobody.sock"), &["nobody.sock"]);
    drop(std::os::unix::net::UnixListener::bind(files.path("dead.sock")).unwrap());
    files.refused(&files.bootstrap("vfio-user:dead.sock"), &["dead.sock"]);
    files.refused(&files.bootstrap("vfio:ffff:ff:1f.7"), &["ffff:ff:1f.7"]);
    files.refused(&files.bootstrap("vfio:nonsense"), &["nonsense"]);
    files.refused(&files.bootstrap("gpu"), &["gpu", "vfio-user:PATH"]);
}

#[test]
fn simulator_without_verilator_is_refused_with_the_command_that_installs_it() {
    let files = Files::new();
    for arguments in [files.bootstrap("sim"), vec!["demo", "--rows", "2"], vec!["serve", "--socket", "card.sock"]] {
        let output = files
            .command(&arguments)
            .env("PATH", "")
            .env("GLOVEBOX_VERILATOR", "/nonexistent/verilator")
            .env("CARGO_TARGET_DIR", files.path("empty"))
            .assert()
            .code(2);
        let message = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(message.contains("cargo xtask setup") && message.contains("/nonexistent/verilator"), "{message}");
        assert!(!files.path("out.npy").exists() && !files.path("card.sock").exists());
    }
}

#[test]
fn secrets_and_messages_that_cannot_be_used_are_refused() {
    let files = Files::new();
    files.refused(&["keygen", "--set", "TOY_INSECURE", "--out", "keys"], &["client.key", "is there already"]);
    files.refused(&["keygen", "--set", "NO_SUCH_SET", "--out", "more"], &["NO_SUCH_SET", "TOY_INSECURE"]);
    files.refused(&["encrypt", "--key", "keys/client.key", "16", "--out", "out.npy"], &["16"]);
    files.refused(&["encrypt", "--key", "keys/bsk.npy", "1", "--out", "out.npy"], &["bsk.npy"]);
    files.refused(&["decrypt", "--key", "keys/client.key", "--in", "lut.npy"], &["lut.npy"]);
    files.refused(&["lut", "--set", "TOY_INSECURE", "--out", "out.npy", "1", "2"], &["16"]);
}

#[test]
fn keygen_secret_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let mode = std::fs::metadata(files.path("keys/client.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "mode {mode:o}");
}

#[test]
fn demo_query_that_cannot_be_asked_is_refused() {
    let files = Files::new();
    files.refused(&["demo", "--device", "cpu", "--rows", "2", "--column", "shoe size"], &["shoe size", "mean radius"]);
    files.refused(&["demo", "--device", "cpu", "--rows", "570"], &["570", "569"]);
    files.refused(&["demo", "--device", "cpu", "--rows", "0"], &["0"]);
    files.refused(&["demo", "--device", "cpu", "--rows", "2", "--threshold", "high"], &["high"]);
}

#[test]
fn rtl_writes_the_design_and_refuses_others() {
    let files = Files::new();
    files.done(&["rtl", "--design", "ntt-forward", "--lanes", "4", "--degree", "256", "--out", "verilog"]);
    let text = std::fs::read_to_string(files.path("verilog/glovebox_ntt_forward_l4_n256.v")).unwrap();
    assert!(text.contains("module glovebox_ntt_forward_l4_n256 (") && text.trim_end().ends_with("endmodule"));
    files.refused(&["rtl", "--design", "ntt-forward", "--lanes", "5", "--out", "more"], &["lanes", "4, 8, 32, 128"]);
    files.refused(&["rtl", "--design", "abacus", "--out", "more"], &["abacus", "ntt-forward"]);
}

#[test]
fn demo_on_the_simulated_card_agrees_with_the_plain_answer_and_golden() {
    let output = Command::new(env!("CARGO_BIN_EXE_glovebox"))
        .args(["demo", "--rows", "3", "--sample", "2", "--lanes", "8", "--json"])
        .assert()
        .success();
    let result: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(result["answer"], result["plaintext_answer"]);
    assert_eq!((&result["answers_agree"], &result["bits_agree"]), (&true.into(), &true.into()));
    let devices: Vec<&str> = result["work"].as_array().unwrap().iter().filter_map(|w| w["device"].as_str()).collect();
    assert_eq!(devices, ["cpu", "golden", "sim (L = 8)"]);
    for work in &result["work"].as_array().unwrap()[1..] {
        assert_eq!(work["words_equal"], work["words_compared"], "{work}");
        assert!(work["words_compared"].as_u64().unwrap() >= 2 * 2049, "{work}");
    }
    // The card keyswitches and bootstraps itself: that many cycles at least.
    assert!(result["work"][2]["cycles"].as_u64().unwrap() > 918 * 512);
}

#[test]
fn profile_reports_cycles_and_draws_them() {
    let files = Files::new();
    let output = Command::new(env!("CARGO_BIN_EXE_glovebox"))
        .args(["profile", "--params", "TOY_INSECURE", "--count", "16", "--json", "--svg"])
        .arg(files.path("timeline.svg"))
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    assert_eq!((number("lanes"), number("degree"), number("count"), number("batch")), (8.0, 256.0, 16.0, 8.0));
    // Two batches: the second one's end, and both in steady state no faster than the multipliers allow.
    assert_eq!(report["batches_done"].as_array().unwrap().len(), 2);
    assert!(number("steady_cycles_per_step") >= 2.0 * 256.0 / 8.0);
    let rotation = report["counted"]["rotation"].as_f64().unwrap();
    assert!(number("utilisation_forward") > 0.5 && rotation < number("cycles"));
    let sampled: f64 =
        report["samples"].as_array().unwrap().iter().map(|s| s["counted"]["rotation"].as_f64().unwrap()).sum();
    assert_eq!(sampled, rotation, "the timeline adds up to the run");
    assert!(std::fs::read_to_string(files.path("timeline.svg")).unwrap().contains("keyswitch"));
    files.refused(&["profile", "--params", "NOTHING"], &["NOTHING", "TOY_INSECURE"]);
    files.refused(&["profile", "--lanes", "5"], &["lanes", "4, 8, 32, 128"]);
    files.refused(&["profile", "--dimension", "0"], &["--dimension", "918"]);
}
