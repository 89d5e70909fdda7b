//! Identity of paths: symbolic links, `..`, hard links, and names that differ in case.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `f_type` of procfs: statfs(2).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// `f_type` of sysfs: statfs(2).
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// Maximum number of symbolic links to follow, as on Linux.
const MAX_LINKS: usize = 40;

/// Returns the absolute path with every symbolic link and `..` resolved. The file need not exist:
/// the result then is the path at which opening `path` would create it.
///
/// # Errors
///
/// A link cannot be read, or there are more than [`MAX_LINKS`] of them.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut resolved = std::env::current_dir()?;
    let mut rest = reversed(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(name);
        match fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                rest.extend(reversed(&target));
            }
            Ok(_) => return Err(rustix::io::Errno::LOOP.into()),
            Err(_) => resolved = next,
        }
    }
    Ok(resolved)
}

/// Returns the reason why no user can create a directory at `path`: its nearest existing ancestor
/// is a file, or belongs to a file system of the kernel. Creates nothing and ignores permissions.
pub(crate) fn obstacle(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    if !existing.is_dir() {
        return Some(format!("{} is not a directory", existing.display()));
    }
    let kind = rustix::fs::statfs(existing).ok()?.f_type;
    let is_kernels = [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&(kind as i64));
    is_kernels.then(|| format!("{} is a file system of the kernel", existing.display()))
}

/// Returns device and inode, which stay when a file is renamed.
pub(crate) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Returns whether both paths lead to the same file, or would create the same.
pub(crate) fn is_same(one: &Path, two: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).ok().map(|found| identity(&found));
    let name = |path: &Path| resolve(path).ok();
    one == two
        || name(one).is_some_and(|one| Some(one) == name(two))
        || inode(one).is_some_and(|one| Some(one) == inode(two))
}

/// Returns the components of a path in reverse order, including `/` and `..`, without `.`.
fn reversed(path: &Path) -> Vec<OsString> {
    let components = path.components().rev().map(|component| component.as_os_str().to_owned());
    components.filter(|name| name != ".").collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_way_to_a_file_is_one_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("real")).expect("made");
        symlink("real", at("link")).expect("linked");
        symlink("link/out", at("dangling")).expect("linked");
        symlink("loop", at("loop")).expect("linked");
        let real = fs::canonicalize(at("real")).expect("it is there").join("out");
        for exists in [false, true] {
            for name in [
                "real/out",
                "link/out",
                "link/../real/./out",
                "dangling",
                "new/../real/out",
                "real/out/",
            ] {
                assert_eq!(resolve(&at(name)).expect("resolved"), real, "{name} {exists}");
                assert!(is_same(&at(name), &real), "{name} {exists}");
            }
            fs::write(&real, "x").expect("written");
        }
        fs::hard_link(&real, at("hard")).expect("linked");
        assert!(is_same(&at("hard"), &at("link/out")));
        fs::write(at("other"), "x").expect("written");
        assert!(!is_same(&at("other"), &real));
        assert!(resolve(&at("loop")).is_err());
    }
}
