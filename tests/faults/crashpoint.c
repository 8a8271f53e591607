/* LD_PRELOAD: the process dies at its n-th call that makes something durable under a folder, before it or after it.
 *
 *   CRASH_FOLDER  counts only what is on this folder's file system and below it
 *   CRASH_AT      n, from 1; 0 only counts
 *   CRASH_AFTER   1: the call is made first
 *   CRASH_LIES    1: fsync and fdatasync do nothing and say that they did (a planted fault for power cuts)
 *   CRASH_LOG     a file elsewhere: one line a call, "name file", so that somebody can say which points were met
 *
 * Counted: write, pwrite, fsync, fdatasync, rename, unlink, ftruncate; the calls by which SQLite and archive.py work.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static long target, seen;
static int after, lies, log_fd = -1;
static ssize_t (*real_write)(int, const void *, size_t);

static void setup(void)
{
    const char *value;
    real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    folder = getenv("CRASH_FOLDER");
    folder_length = folder ? strlen(folder) : 0;
    target = (value = getenv("CRASH_AT")) ? atol(value) : 0;
    after = (value = getenv("CRASH_AFTER")) && *value == '1';
    lies = (value = getenv("CRASH_LIES")) && *value == '1';
    if ((value = getenv("CRASH_LOG")))
        log_fd = open(value, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
}

/* SQLite's shared memory is a file only in name: it is made anew after a crash, so dying around it proves nothing. */
static int shared(const char *path, size_t length)
{
    return length > 4 && strcmp(path + length - 4, "-shm") == 0;
}

/* The path behind a descriptor, when it lies below the folder; else 0. */
static int below_fd(int fd, char *path)
{
    char link[64];
    ssize_t length;
    pthread_once(&once, setup);
    if (!folder || fd == log_fd)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if ((length = readlink(link, path, PATH_MAX - 1)) <= 0)
        return 0;
    path[length] = 0;
    return strncmp(path, folder, folder_length) == 0 && !shared(path, (size_t)length);
}

static int below(const char *name, char *path)
{
    pthread_once(&once, setup);
    if (!folder || !name || name[0] != '/')
        return 0;
    snprintf(path, PATH_MAX, "%s", name);
    return strncmp(path, folder, folder_length) == 0;
}

static void point(const char *call, const char *path, int post)
{
    char line[PATH_MAX + 64];
    int length;
    if (post != after)
        return;
    pthread_mutex_lock(&lock);
    seen++;
    if (log_fd >= 0) {
        length = snprintf(line, sizeof line, "%s %s\n", call, path + folder_length);
        (void)!real_write(log_fd, line, (size_t)length);
    }
    if (seen == target) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    pthread_mutex_unlock(&lock);
}

#define WRAP(type, name, parameters, arguments, test)                     \
    type name parameters                                                  \
    {                                                                     \
        static type(*real) parameters;                                    \
        char path[PATH_MAX] = "";                                         \
        int ours = test;                                                  \
        type result;                                                      \
        if (!real)                                                        \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);           \
        if (ours)                                                         \
            point(#name, path, 0);                                        \
        result = lies && strstr(#name, "sync") ? 0 : real arguments;         \
        if (ours)                                                         \
            point(#name, path, 1);                                        \
        return result;                                                    \
    }

WRAP(int, fsync, (int fd), (fd), below_fd(fd, path))
WRAP(int, fdatasync, (int fd), (fd), below_fd(fd, path))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), below_fd(fd, path))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), below_fd(fd, path))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), below_fd(fd, path))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), below_fd(fd, path))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size), below_fd(fd, path))
WRAP(int, rename, (const char *from, const char *to), (from, to), below(to, path))
WRAP(int, unlink, (const char *name), (name), below(name, path))
