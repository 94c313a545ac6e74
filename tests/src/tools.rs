//! Where the things are that a story runs: our release binary, and the Python of real clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The release binary that `make test` builds first; it lies beside the test executables.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("the path of the test");
    let found = own.ancestors().skip(1).take(3).map(|folder| folder.join("apus")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no `apus` near {}: run `make test`, which builds it", own.display()))
}

/// The checkout's root. Cargo says at run time where it is: a shared target folder may hold tests that another checkout built.
pub fn checkout() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is not set: run the tests with cargo");
    Path::new(&package).parent().expect("the package's folder is in the checkout").to_owned()
}

/// A program of the virtual environment with the real clients.
pub fn python_program(name: &str) -> PathBuf {
    let venv = std::env::var_os("APUS_VENV");
    let venv = venv.expect("APUS_VENV is not set: run `make test`, which makes the virtual environment");
    let program = Path::new(&venv).join("bin").join(name);
    assert!(program.is_file(), "{} is missing: run `make test`, which installs it", program.display());
    program
}

/// Runs a command to its end, or fails the test with what it wrote.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}
