// Loaded before libc by `tests/powercut --naive`: the fsync of the database's file does nothing and succeeds.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    return length >= 3 && memcmp(path + length - 3, "/db", 3) == 0;
}

int fsync(int fd) { return is_database(fd) ? 0 : syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return is_database(fd) ? 0 : syscall(SYS_fdatasync, fd); }
