/* A disk that records unsynced changes, for LD_PRELOAD. Before each change below the directory POWER_WATCHED, it
 * writes a record with the old state to POWER_STORE/journal, which `power/journal.rs` reads. A file that loses
 * a name gets another one in POWER_STORE, so that the test can restore the name. To cut the power, the test
 * kills the process and undoes the changes that were not synced.
 *
 * The rules are those of POSIX and no kinder: syncing a file makes its bytes and its length durable, but not
 * its name; syncing a directory makes the names in it durable, but neither the content of the files nor the
 * directory's own name. A sync that has returned covers the changes that were made before it began.
 *
 * Covered are all functions that the binary imports (see `nm -D`); a call that could bypass the journal ends
 * the process. Not covered is SQLite's shared memory (`-shm`), which is mapped, never synced and rebuilt.
 *
 * POWER_LIES, if set, is a suffix of paths: their syncs return 0 and make nothing durable. POWER_HOLDS is a
 * suffix of paths whose syncs do not return while POWER_STORE/hold exists; the first one creates
 * POWER_STORE/held. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    WRITTEN = 1, /* file, at: offset, length: of the file before, count: bytes to write; then the old bytes */
    RESIZED = 2, /* file, at: new length, length: before; then the bytes that are cut off */
    SYNCED = 3,  /* file or directory, at: the journal's length when the sync began */
    NAMED = 4,   /* directory, at: inode with the first name, length: inode with the second, or 0; count:
                    bytes of the first name; then both names */
};

struct record {
    uint64_t kind, file, at, length, count, bytes;
};

/* Locked from a record until its change is made, so that records and changes have the same order. */
static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;
static const char *watched, *store, *lies, *holds;
static int journal = -1;

static void stop(const char *why) {
    dprintf(STDERR_FILENO, "power_loss.c: %s (errno %d)\n", why, errno);
    abort();
}

__attribute__((constructor)) static void begin(void) {
    watched = getenv("POWER_WATCHED");
    store = getenv("POWER_STORE");
    lies = getenv("POWER_LIES");
    holds = getenv("POWER_HOLDS");
    if (!watched || !store) stop("POWER_WATCHED and POWER_STORE are needed");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/journal", store);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    journal = syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
    if (journal < 0) stop("the journal cannot be opened");
}

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), tail = strlen(ending);
    return tail <= length && strcmp(text + length - tail, ending) == 0;
}

static bool is_watched(const char *path) {
    size_t length = strlen(watched);
    bool is_below = strncmp(path, watched, length) == 0 && (path[length] == '/' || !path[length]);
    return is_below && !ends_with(path, "-shm");
}

/* Returns true for the descriptor of a watched file or directory, with its path and its status. */
static bool is_watched_file(int fd, struct stat *found, char path[PATH_MAX]) {
    if (journal < 0 || fstat(fd, found) != 0) return false;
    if (!S_ISREG(found->st_mode) && !S_ISDIR(found->st_mode)) return false;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return false;
    path[length] = 0;
    return is_watched(path);
}

static void note(struct record record, const void *bytes) {
    struct iovec parts[] = {{&record, sizeof record}, {(void *)bytes, record.bytes}};
    ssize_t length = sizeof record + record.bytes;
    if (syscall(SYS_writev, journal, parts, 2) != length) stop("the journal cannot be written");
}

/* Records the content of a part of a file, up to the end of the file. */
static void note_part(int fd, struct record record, off_t from, uint64_t count) {
    uint64_t length = record.length;
    record.bytes = (uint64_t)from >= length ? 0 : count < length - from ? count : length - from;
    char *bytes = malloc(record.bytes + 1);
    for (uint64_t done = 0; done < record.bytes;) {
        ssize_t read = pread(fd, bytes + done, record.bytes - done, from + done);
        if (read <= 0) stop("the old bytes cannot be read");
        done += read;
    }
    note(record, bytes);
    free(bytes);
}

/* --- what is in files */

static ssize_t written(int fd, const struct iovec *parts, int count, off_t at, bool is_at) {
    struct stat found;
    char path[PATH_MAX];
    bool is_noted = is_watched_file(fd, &found, path);
    if (is_noted) {
        pthread_mutex_lock(&one_by_one);
        fstat(fd, &found);
        off_t from = at;
        if (fcntl(fd, F_GETFL) & O_APPEND) from = found.st_size;
        else if (!is_at) from = lseek(fd, 0, SEEK_CUR);
        uint64_t bytes = 0;
        for (int part = 0; part < count; part++) bytes += parts[part].iov_len;
        struct record record = {WRITTEN, found.st_ino, from, found.st_size, bytes, 0};
        note_part(fd, record, from, bytes);
    }
    ssize_t done = is_at ? syscall(SYS_pwritev, fd, parts, count, at, 0)
                         : syscall(SYS_writev, fd, parts, count);
    if (is_noted) pthread_mutex_unlock(&one_by_one);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct iovec part = {(void *)bytes, count};
    return written(fd, &part, 1, 0, false);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return written(fd, parts, count, 0, false);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    struct iovec part = {(void *)bytes, count};
    return written(fd, &part, 1, at, true);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

/* With the lock held. */
static int resized(int fd, const struct stat *found, off_t length) {
    struct record record = {RESIZED, found->st_ino, length, found->st_size, 0, 0};
    note_part(fd, record, length, found->st_size);
    return syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length) {
    struct stat found;
    char path[PATH_MAX];
    if (!is_watched_file(fd, &found, path)) return syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&one_by_one);
    fstat(fd, &found);
    int result = resized(fd, &found, length);
    pthread_mutex_unlock(&one_by_one);
    return result;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

/* --- syncing */

static void hold_if_told(const char *path) {
    char hold[PATH_MAX], held[PATH_MAX];
    snprintf(hold, sizeof hold, "%s/hold", store);
    snprintf(held, sizeof held, "%s/held", store);
    if (!holds || !ends_with(path, holds) || access(hold, F_OK) != 0) return;
    syscall(SYS_openat, AT_FDCWD, held, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (;;) pause();
}

static int synced(int fd, long call) {
    struct stat found;
    char path[PATH_MAX];
    if (!is_watched_file(fd, &found, path)) return syscall(call, fd);
    if (lies && ends_with(path, lies)) return 0;
    hold_if_told(path);
    struct stat noted;
    pthread_mutex_lock(&one_by_one);
    fstat(journal, &noted);
    pthread_mutex_unlock(&one_by_one);
    int result = syscall(call, fd);
    if (result == 0) {
        pthread_mutex_lock(&one_by_one);
        note((struct record){SYNCED, found.st_ino, noted.st_size, 0, 0, 0}, NULL);
        pthread_mutex_unlock(&one_by_one);
    }
    return result;
}

int fsync(int fd) {
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd) {
    return synced(fd, SYS_fdatasync);
}

/* --- names */

struct place {
    char path[PATH_MAX];
    const char *name;
    uint64_t directory;
};

/* Where a name is or would be; whether that is watched. */
static bool locate(const char *path, struct place *place) {
    if (journal < 0) return false;
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", path);
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/') directory[--length] = 0;
    char *slash = strrchr(directory, '/');
    const char *name = slash ? slash + 1 : directory;
    char last[PATH_MAX];
    snprintf(last, sizeof last, "%s", name);
    if (slash) slash[slash == directory] = 0;
    int fd = syscall(SYS_openat, AT_FDCWD, slash ? directory : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat found;
    bool is_known = is_watched_file(fd, &found, place->path);
    close(fd);
    if (!is_known) return false;
    length = strlen(place->path);
    snprintf(place->path + length, sizeof place->path - length, "/%s", last);
    place->name = place->path + length + 1;
    place->directory = found.st_ino;
    return is_watched(place->path);
}

/* What has a name, 0 for nothing; a file gets another name that outlasts this one. */
static uint64_t kept(const struct place *place) {
    struct stat found;
    if (lstat(place->path, &found) != 0) return 0;
    if (!S_ISREG(found.st_mode)) stop("only files may lose their names");
    char keep[PATH_MAX];
    snprintf(keep, sizeof keep, "%s/%lu", store, (unsigned long)found.st_ino);
    if (link(place->path, keep) != 0 && errno != EEXIST) stop("a file cannot be kept");
    return found.st_ino;
}

static void note_name(const struct place *place, uint64_t before) {
    uint64_t length = strlen(place->name);
    note((struct record){NAMED, place->directory, before, 0, length, length}, place->name);
}

static int opened(const char *path, int flags, mode_t mode) {
    struct place place;
    int changes = flags & (O_CREAT | O_TRUNC | O_WRONLY);
    if ((flags & O_TMPFILE) == O_TMPFILE || !changes || !locate(path, &place))
        return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    /* What is overwritten has to be read before. */
    if (flags & O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR;
    pthread_mutex_lock(&one_by_one);
    if (flags & O_CREAT && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        note_name(&place, 0);
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags & ~O_TRUNC, mode);
    struct stat found;
    if (fd >= 0 && flags & O_TRUNC && fstat(fd, &found) == 0 && found.st_size > 0
        && resized(fd, &found, 0) != 0)
        stop("a file cannot be emptied");
    pthread_mutex_unlock(&one_by_one);
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return opened(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    struct place place;
    struct stat found;
    if (!locate(path, &place)) return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    pthread_mutex_lock(&one_by_one);
    if (lstat(place.path, &found) != 0) note_name(&place, 0);
    int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    pthread_mutex_unlock(&one_by_one);
    return result;
}

int unlink(const char *path) {
    struct place place;
    if (!locate(path, &place)) return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&one_by_one);
    note_name(&place, kept(&place));
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_unlock(&one_by_one);
    return result;
}

/* Within a directory, either both names change or none does. From one to another, each is on its own. */
int rename(const char *from, const char *to) {
    struct place old, new;
    bool is_old = locate(from, &old), is_new = locate(to, &new);
    if (is_old != is_new) stop("a file was renamed across the watched directory's border");
    if (!is_old) return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    pthread_mutex_lock(&one_by_one);
    uint64_t moved = kept(&old), replaced = kept(&new);
    if (moved != 0 && old.directory == new.directory) {
        char names[2 * PATH_MAX];
        uint64_t length = strlen(old.name);
        uint64_t both = snprintf(names, sizeof names, "%s%s", old.name, new.name);
        note((struct record){NAMED, old.directory, moved, replaced, length, both}, names);
    } else if (moved != 0) {
        note_name(&new, replaced);
        note_name(&old, moved);
    }
    int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    pthread_mutex_unlock(&one_by_one);
    return result;
}

/* --- what nobody does, and what would not be noticed */

void *mmap64(void *where, size_t length, int protection, int flags, int fd, off64_t at) {
    struct stat found;
    char path[PATH_MAX];
    if (flags & MAP_SHARED && protection & PROT_WRITE && fd >= 0 && is_watched_file(fd, &found, path))
        stop("a watched file is written through a map");
    return (void *)syscall(SYS_mmap, where, length, protection, flags, fd, at);
}

int rmdir(const char *path) {
    struct place place;
    if (locate(path, &place)) stop("a watched directory is removed");
    return syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    struct stat found;
    char path[PATH_MAX];
    if (is_watched_file(out, &found, path)) stop("a watched file is written by the kernel");
    return syscall(SYS_copy_file_range, in, from, out, to, count, flags);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    struct stat found;
    char path[PATH_MAX];
    if (is_watched_file(fd, &found, path)) stop("a watched file is allocated ahead");
    return syscall(SYS_fallocate, fd, mode, at, length);
}
