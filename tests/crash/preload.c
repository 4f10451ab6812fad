/* LD_PRELOAD: counts every call that changes a file system below one folder, and at a chosen one
 * kills the process, tears the write, fails it, or cuts the power of the file system.
 *
 * Built by interposer.py, armed by it at run time (crash_arm), so that one warm process can fork a
 * child a point. What happened stands in memory shared with the parent, which outlives the child.
 *
 * Counted: open with O_CREAT or O_TRUNC, creat; write, pwrite, writev, copy_file_range, sendfile;
 * fsync, fdatasync; rename, link, unlink, rmdir, mkdir; truncate; chmod. Calls that libc makes
 * inside itself (fopen) are not seen; neither Python nor SQLite nor Arrow writes by those.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, KILL, TORN, FAIL_ONCE, FAIL_FROM, SHORT, RECORD, POWER_CUT };
enum kind {
    OPEN, WRITE, SYNC, RENAME, LINK, UNLINK, RMDIR, MKDIR, TRUNCATE, COPY, CHMOD
};
/* What a call answers for: do it, do half of it, or fail with errno already set. */
enum verdict { DO, HALF, FAIL };

#define CALLS_MAX 65536
#define SHUTDOWN _IOR('X', 125, uint32_t)

struct state {
    atomic_long calls;         /* calls seen since the arming */
    atomic_long fired;         /* the call at which the fault struck, or 0 */
    char path[PATH_MAX];       /* and its path */
    unsigned char kinds[CALLS_MAX];
};

static struct state *state;
static int mode = OFF, error_number, log_fd = -1, cut_fd = -1;
static unsigned kinds_hit;
static long target;
static char prefix[PATH_MAX];
static size_t prefix_length;

__attribute__((constructor)) static void begin(void)
{
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

struct state *crash_state(void) { return state; }

/* kinds: bits of the kinds that FAIL_FROM fails, and that the other modes strike at all. */
void crash_arm(const char *folder, int how, long number, int error, unsigned kinds)
{
    snprintf(prefix, sizeof prefix, "%s", folder);
    prefix_length = strlen(prefix);
    target = number;
    error_number = error;
    kinds_hit = kinds;
    atomic_store(&state->calls, 0);
    atomic_store(&state->fired, 0);
    if (how == POWER_CUT)
        cut_fd = syscall(SYS_openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    mode = how;
}

/* Every call is appended to this file, with what it wrote. */
void crash_record(const char *folder, const char *path)
{
    log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    crash_arm(folder, RECORD, 0, 0, ~0u);
}

void crash_disarm(void) { mode = OFF; }

static void stop(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static int below(const char *path)
{
    return strncmp(path, prefix, prefix_length) == 0
        && (path[prefix_length] == '/' || path[prefix_length] == 0);
}

static int path_of_fd(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return size > 0 && path[0] == '/';
}

static int path_of(int folder, const char *name, char *path)
{
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return 1;
    }
    char base[PATH_MAX];
    if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of_fd(folder, base))
        return 0;
    snprintf(path, PATH_MAX, "%.*s/%s", (int)(PATH_MAX - strlen(name) - 2), base, name);
    return 1;
}

/* Count a call, and strike if it is the one. Mode and arguments do not change while it runs. */
static enum verdict judge(enum kind kind, const char *path)
{
    long number = atomic_fetch_add(&state->calls, 1) + 1;
    if (number <= CALLS_MAX)
        state->kinds[number - 1] = kind;
    int writes = kind == WRITE || kind == COPY;
    int hit = mode == FAIL_FROM ? number >= target : number == target;
    if (!hit || !(kinds_hit >> kind & 1))
        return DO;
    if (mode == COUNT || mode == RECORD)
        return DO;
    if (!atomic_load(&state->fired)) {
        snprintf(state->path, sizeof state->path, "%s", path);
        atomic_store(&state->fired, number);
    }
    if (mode == POWER_CUT) {
        uint32_t how = error_number;
        if (syscall(SYS_ioctl, cut_fd, SHUTDOWN, &how))
            atomic_store(&state->fired, -errno);
        stop();
    }
    if (mode == KILL || (mode == TORN && !writes))
        stop();
    if (mode == TORN || (mode == SHORT && writes))
        return HALF;
    if (mode == SHORT)
        return DO;
    errno = error_number;
    return FAIL;
}

static void record(enum kind kind, int64_t offset, const char *path, const char *to,
                   const void *data, int64_t size)
{
    if (mode != RECORD)
        return;
    int64_t head[5] = {kind, offset, strlen(path), to ? (int64_t)strlen(to) : 0, size};
    struct iovec parts[4] = {
        {head, sizeof head}, {(void *)path, head[2]}, {(void *)to, head[3]},
        {(void *)data, data ? size : 0},
    };
    int kept = errno;
    syscall(SYS_writev, log_fd, parts, 4);
    errno = kept;
}

#define REAL(name) ((__typeof__(&name))real_##name())
#define DEFINE_REAL(name)                          \
    static void *real_##name(void)                 \
    {                                              \
        static void *found;                        \
        if (!found)                                \
            found = dlsym(RTLD_NEXT, #name);       \
        return found;                              \
    }

/* --- opening ---------------------------------------------------------------------------------- */

#define MAKES(flags) ((flags) & (O_CREAT | O_TRUNC))

static int open_at(int folder, const char *name, int flags, mode_t bits)
{
    char path[PATH_MAX];
    int counted = mode && MAKES(flags) && path_of(folder, name, path) && below(path);
    if (counted && judge(OPEN, path) == FAIL)
        return -1;
    int fd = syscall(SYS_openat, folder, name, flags, bits);
    if (counted && fd >= 0)
        record(OPEN, flags & O_TRUNC ? 1 : 0, path, NULL, NULL, 0);
    return fd;
}

#define BITS(flags, bits)                          \
    mode_t bits = 0;                               \
    if (flags & (O_CREAT | __O_TMPFILE)) {         \
        va_list rest;                              \
        va_start(rest, flags);                     \
        bits = va_arg(rest, mode_t);               \
        va_end(rest);                              \
    }

int open(const char *name, int flags, ...)
{
    BITS(flags, bits)
    return open_at(AT_FDCWD, name, flags, bits);
}
int open64(const char *name, int flags, ...)
{
    BITS(flags, bits)
    return open_at(AT_FDCWD, name, flags | O_LARGEFILE, bits);
}
int openat(int folder, const char *name, int flags, ...)
{
    BITS(flags, bits)
    return open_at(folder, name, flags, bits);
}
int openat64(int folder, const char *name, int flags, ...)
{
    BITS(flags, bits)
    return open_at(folder, name, flags | O_LARGEFILE, bits);
}
int __open_2(const char *name, int flags) { return open_at(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return open_at(AT_FDCWD, name, flags, 0); }
int __openat_2(int folder, const char *name, int flags) { return open_at(folder, name, flags, 0); }
int __openat64_2(int folder, const char *name, int flags)
{
    return open_at(folder, name, flags, 0);
}
int creat(const char *name, mode_t bits)
{
    return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, bits);
}
int creat64(const char *name, mode_t bits) { return creat(name, bits); }

/* --- writing ---------------------------------------------------------------------------------- */

static int counted_fd(int fd, char *path)
{
    return mode && path_of_fd(fd, path) && below(path);
}

/* offset -1: where the file stands. */
static ssize_t put(int fd, const void *data, size_t size, off_t offset)
{
    char path[PATH_MAX];
    int counted = counted_fd(fd, path);
    enum verdict verdict = counted ? judge(WRITE, path) : DO;
    if (verdict == FAIL)
        return -1;
    if (verdict == HALF)
        size = size > 1 ? size / 2 : size;
    off_t at = counted && offset < 0 ? syscall(SYS_lseek, fd, (off_t)0, SEEK_CUR) : offset;
    ssize_t done = offset < 0 ? syscall(SYS_write, fd, data, size)
                              : syscall(SYS_pwrite64, fd, data, size, offset);
    if (verdict == HALF && mode == TORN)
        stop();
    if (counted && done > 0)
        record(WRITE, at, path, NULL, data, done);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return put(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return put(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return put(fd, data, size, at);
}

DEFINE_REAL(writev)
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    char path[PATH_MAX];
    if (!counted_fd(fd, path))
        return REAL(writev)(fd, parts, count);
    /* One part a call: a short write, which every caller must bear. */
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len)
            return put(fd, parts[i].iov_base, parts[i].iov_len, -1);
    return 0;
}

/* Nothing of what is copied is recorded: copies are no part of a commit. */
static enum verdict copying(int fd, size_t *size)
{
    char path[PATH_MAX];
    enum verdict verdict = counted_fd(fd, path) ? judge(COPY, path) : DO;
    if (verdict == HALF)
        *size = *size > 1 ? *size / 2 : *size;
    if (verdict != FAIL && mode == RECORD && below(path))
        record(COPY, 0, path, NULL, NULL, *size);
    return verdict;
}

#define COPYING(fd, call)                          \
    enum verdict verdict = copying(fd, &size);     \
    if (verdict == FAIL)                           \
        return -1;                                 \
    ssize_t done = call;                           \
    if (verdict == HALF && mode == TORN)           \
        stop();                                    \
    return done;

ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
    COPYING(to, syscall(SYS_sendfile, to, from, at, size))
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size)
{
    COPYING(to, syscall(SYS_sendfile, to, from, at, size))
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size,
                        unsigned flags)
{
    COPYING(to, syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags))
}

static int sync_one(int fd, int call)
{
    char path[PATH_MAX];
    int counted = counted_fd(fd, path);
    if (counted && judge(SYNC, path) == FAIL)
        return -1;
    int done = syscall(call, fd);
    if (counted && !done)
        record(SYNC, 0, path, NULL, NULL, 0);
    return done;
}

int fsync(int fd) { return sync_one(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_one(fd, SYS_fdatasync); }

/* --- names ------------------------------------------------------------------------------------ */

static int rename_at(int from, const char *name, int to, const char *new_name, unsigned flags,
                     enum kind kind)
{
    char path[PATH_MAX], new_path[PATH_MAX];
    int counted = mode && path_of(from, name, path) && path_of(to, new_name, new_path)
        && (below(path) || below(new_path));
    if (counted && judge(kind, path) == FAIL)
        return -1;
    int done = kind == LINK ? syscall(SYS_linkat, from, name, to, new_name, flags)
                            : syscall(SYS_renameat2, from, name, to, new_name, flags);
    if (counted && !done)
        record(kind, 0, path, new_path, NULL, 0);
    return done;
}

int rename(const char *name, const char *to)
{
    return rename_at(AT_FDCWD, name, AT_FDCWD, to, 0, RENAME);
}
int renameat(int from, const char *name, int to, const char *new_name)
{
    return rename_at(from, name, to, new_name, 0, RENAME);
}
int renameat2(int from, const char *name, int to, const char *new_name, unsigned flags)
{
    return rename_at(from, name, to, new_name, flags, RENAME);
}
int link(const char *name, const char *to)
{
    return rename_at(AT_FDCWD, name, AT_FDCWD, to, 0, LINK);
}
int linkat(int from, const char *name, int to, const char *new_name, int flags)
{
    return rename_at(from, name, to, new_name, flags, LINK);
}

#define ONE_NAME(kind, folder, call)                                                         \
    char path[PATH_MAX];                                                                     \
    int counted = mode && path_of(folder, name, path) && below(path);                        \
    if (counted && judge(kind, path) == FAIL)                                                      \
        return -1;                                                                           \
    int done = call;                                                                         \
    if (counted && !done)                                                                    \
        record(kind, 0, path, NULL, NULL, 0);                                                \
    return done;

int unlinkat(int folder, const char *name, int flags)
{
    ONE_NAME(flags & AT_REMOVEDIR ? RMDIR : UNLINK, folder,
             syscall(SYS_unlinkat, folder, name, flags))
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int mkdirat(int folder, const char *name, mode_t bits)
{
    ONE_NAME(MKDIR, folder, syscall(SYS_mkdirat, folder, name, bits))
}
int mkdir(const char *name, mode_t bits) { return mkdirat(AT_FDCWD, name, bits); }

/* --- the rest --------------------------------------------------------------------------------- */

static int cut_at(int fd, off_t size)
{
    char path[PATH_MAX];
    int counted = counted_fd(fd, path);
    if (counted && judge(TRUNCATE, path) == FAIL)
        return -1;
    int done = syscall(SYS_ftruncate, fd, size);
    if (counted && !done)
        record(TRUNCATE, size, path, NULL, NULL, 0);
    return done;
}

int ftruncate(int fd, off_t size) { return cut_at(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut_at(fd, size); }
int truncate(const char *name, off_t size)
{
    ONE_NAME(TRUNCATE, AT_FDCWD, syscall(SYS_truncate, name, size))
}
int truncate64(const char *name, off64_t size) { return truncate(name, size); }

int fchmodat(int folder, const char *name, mode_t bits, int flags)
{
    (void)flags;
    ONE_NAME(CHMOD, folder, syscall(SYS_fchmodat, folder, name, bits))
}
int chmod(const char *name, mode_t bits) { return fchmodat(AT_FDCWD, name, bits, 0); }
int fchmod(int fd, mode_t bits)
{
    char path[PATH_MAX];
    if (counted_fd(fd, path) && judge(CHMOD, path) == FAIL)
        return -1;
    return syscall(SYS_fchmod, fd, bits);
}
