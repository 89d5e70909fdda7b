//! The files of `/proc`, and this process.

use super::*;

const STAT: &str = "42 (a) name (b)) S 1 42 42 0 -1 4194560 900 0 3 0 150 75 0 0 20 0 7 0 5000 99 12 18446744073709551615";
const STATUS: &str =
    "Name:\ta) name (b)\nVmPeak:\t  9000 kB\nVmSize:\t  4096 kB\nVmRSS:\t   512 kB\nThreads:\t7\n";

#[test]
fn the_files_of_proc_are_read_by_their_fields() {
    let read = ProcessUsage {
        cpu_seconds: 2.25,
        virtual_bytes: 4_194_304.0,
        resident_bytes: 524_288.0,
        threads: 7.0,
    };
    assert_eq!(parse(STAT, STATUS), Some(read));
}

#[test]
fn a_missing_or_strange_field_yields_nothing() {
    for name in ["VmSize", "VmRSS", "Threads"] {
        assert_eq!(parse(STAT, &STATUS.replace(name, "Other")), None, "{name}");
    }
    for stat in ["", "42 (name) S 1 2", &STAT.replace(" 150 ", " x ")] {
        assert_eq!(parse(stat, STATUS), None, "{stat}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn this_process_has_threads_memory_and_descriptors() {
    let own = usage().expect("readable");
    assert!(own.threads >= 1.0 && own.resident_bytes > 1024.0 * 1024.0, "{own:?}");
    assert!(own.virtual_bytes >= own.resident_bytes, "{own:?}");
    let files: Vec<_> =
        (0..9).map(|_| std::fs::File::open("/proc/self/stat").expect("a file")).collect();
    assert!(open_descriptors().expect("listed") >= files.len());
}
