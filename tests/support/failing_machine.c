/* A machine with failures on request, for LD_PRELOAD. Files control the failures, so that a test can change
 * them while the process runs. Each file is named by a variable:
 *
 *   FAIL_SYNC    while the file exists, syncing the spool's database fails with EIO
 *   FAIL_WRITE   while the file exists, writing to the database fails with ENOSPC
 *   FAIL_AFTER   contains a number n: FAIL_WRITE takes effect after n more writes
 *   SLOW_SYNC    while the file exists, each sync takes 30 ms longer
 *   CLOCK        contains the milliseconds that the real-time clock is ahead, as 8 bytes in host order
 *
 * All other calls go to the C library unchanged. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

static int is_there(const char *variable) {
    const char *trigger = getenv(variable);
    return trigger && access(trigger, F_OK) == 0;
}

static int is_spool(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "spool.db") != NULL;
}

static int sync_fails(int fd) {
    if (is_there("SLOW_SYNC")) usleep(30000);
    return is_there("FAIL_SYNC") && is_spool(fd);
}

/* Lets the first n writes pass. Reads n at the first write after the failure was requested. */
static int write_fails(int fd) {
    static atomic_long left = -1;
    if (!is_there("FAIL_WRITE")) { atomic_store(&left, -1); return 0; }
    if (!is_spool(fd)) return 0;
    const char *name = getenv("FAIL_AFTER");
    if (!name) return 1;
    long expected = -1, passes = 0;
    FILE *file = fopen(name, "r");
    if (file) {
        if (fscanf(file, "%ld", &passes) != 1) passes = 0;
        fclose(file);
    }
    atomic_compare_exchange_strong(&left, &expected, passes);
    return atomic_fetch_sub(&left, 1) <= 0;
}

int fsync(int fd) {
    if (sync_fails(fd)) { errno = EIO; return -1; }
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd) {
    if (sync_fails(fd)) { errno = EIO; return -1; }
    return REAL("fdatasync", int (*)(int))(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (write_fails(fd)) { errno = ENOSPC; return -1; }
    return REAL("write", ssize_t (*)(int, const void *, size_t))(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (write_fails(fd)) { errno = ENOSPC; return -1; }
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (write_fails(fd)) { errno = ENOSPC; return -1; }
    return REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}

static volatile int64_t *ahead;

__attribute__((constructor)) static void find_clock(void) {
    const char *name = getenv("CLOCK");
    int fd = name ? open(name, O_RDONLY) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) ahead = mapped;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = REAL("clock_gettime", int (*)(clockid_t, struct timespec *))(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && ahead) {
        int64_t nanoseconds = time->tv_nsec + *ahead % 1000 * 1000000;
        time->tv_sec += *ahead / 1000 + nanoseconds / 1000000000;
        time->tv_nsec = nanoseconds % 1000000000;
        if (time->tv_nsec < 0) {
            time->tv_nsec += 1000000000;
            time->tv_sec -= 1;
        }
    }
    return result;
}
