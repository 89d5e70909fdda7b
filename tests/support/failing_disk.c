/* A disk that fails on demand, for LD_PRELOAD: while the file named by FAIL_SYNC exists, syncing the
 * spool's database fails with EIO; while the one named by FAIL_WRITE exists, writing to it fails with
 * ENOSPC. Everything else goes to the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd, const char *variable) {
    const char *trigger = getenv(variable);
    if (!trigger || access(trigger, F_OK) != 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "spool.db") != NULL;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

int fsync(int fd) {
    if (fails(fd, "FAIL_SYNC")) { errno = EIO; return -1; }
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd) {
    if (fails(fd, "FAIL_SYNC")) { errno = EIO; return -1; }
    return REAL("fdatasync", int (*)(int))(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fails(fd, "FAIL_WRITE")) { errno = ENOSPC; return -1; }
    return REAL("write", ssize_t (*)(int, const void *, size_t))(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (fails(fd, "FAIL_WRITE")) { errno = ENOSPC; return -1; }
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (fails(fd, "FAIL_WRITE")) { errno = ENOSPC; return -1; }
    return REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}
