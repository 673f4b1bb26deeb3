/*
 * A disk that dies or fails at a chosen moment: preloaded into a process (LD_PRELOAD), it numbers
 * every call that changes a file under BALLAST_DISK_ROOT, so that a test can end the process at the
 * n-th, or let the n-th fail. Linux and glibc only; see disk-shim.ts for the words.
 *
 * BALLAST_DISK_PLAN     what happens: "off", "before:N", "after:N", "enospc:N:SPAN", "eio:N:SPAN",
 *                       "short:N:SPAN"; SPAN is how many calls fail, 0 for all from then on
 * BALLAST_DISK_RECORD   a file outside the root that every call is written to, a line each
 *
 * A process sets a new plan, and starts to count anew, by opening "/ballast-disk/PLAN"; the answer is
 * EEXIST where a shim heard it. "/ballast-disk/hit" answers EEXIST where the plan's call has come.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONTROL "/ballast-disk/"
/* Larger writes than this are no journal's; their lines would be cut. */
#define DATA_MAX 65536

enum verdict { GO, KILL_AFTER, FAIL, SHORT };

static char root[PATH_MAX];
static size_t root_length;
static char plan[32] = "off";
static long plan_at, plan_span, counted;
static int hit, record_fd = -1, ready;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

static void set_plan(const char *text) {
  plan_at = plan_span = counted = 0;
  hit = 0;
  if (sscanf(text, "%31[a-z]:%ld:%ld", plan, &plan_at, &plan_span) < 1) strcpy(plan, "off");
}

__attribute__((constructor)) static void start(void) {
  if (ready) return;
  ready = 1;
  real_open = dlsym(RTLD_NEXT, "open");
  real_openat = dlsym(RTLD_NEXT, "openat");
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  const char *where = getenv("BALLAST_DISK_ROOT");
  if (where != NULL && realpath(where, root) != NULL) root_length = strlen(root);
  if (getenv("BALLAST_DISK_PLAN") != NULL) set_plan(getenv("BALLAST_DISK_PLAN"));
  const char *record = getenv("BALLAST_DISK_RECORD");
  if (record != NULL) record_fd = real_open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int ours(const char *path) {
  return root_length > 0 && strncmp(path, root, root_length) == 0 && path[root_length] == '/';
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return ours(path);
}

/* One line: kind, path below the root, offset or length, and the bytes in hex. */
static void record(const char *kind, const char *path, off_t at, const void *data, size_t size) {
  static const char digits[] = "0123456789abcdef";
  static char line[PATH_MAX * 2 + 2 * DATA_MAX + 128];
  if (record_fd < 0) return;
  if (size > DATA_MAX) size = DATA_MAX;
  size_t end = (size_t)snprintf(line, PATH_MAX * 2 + 64, "%s\t%s\t%lld\t", kind, path, (long long)at);
  for (size_t i = 0; i < size; i += 1) {
    line[end++] = digits[((const unsigned char *)data)[i] >> 4];
    line[end++] = digits[((const unsigned char *)data)[i] & 15];
  }
  line[end++] = '\n';
  if (real_write(record_fd, line, end) < 0) _exit(97);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Numbers a call that changes the disk, and says what is to become of it. */
static enum verdict next(int is_write) {
  counted += 1;
  if (plan_at == 0 || counted < plan_at) return GO;
  if (strcmp(plan, "before") == 0) die();
  if (strcmp(plan, "after") == 0) return KILL_AFTER;
  if (plan_span != 0 && counted >= plan_at + plan_span) return GO;
  hit = 1;
  errno = strcmp(plan, "eio") == 0 ? EIO : ENOSPC;
  /* A disk that fills up takes a part first and nothing afterwards. */
  if (strcmp(plan, "short") == 0 && is_write && counted == plan_at) return SHORT;
  return FAIL;
}

static int heard(const char *path) {
  if (strncmp(path, CONTROL, strlen(CONTROL)) != 0) return 0;
  const char *said = path + strlen(CONTROL);
  if (strcmp(said, "hit") == 0) errno = hit ? EEXIST : ENOENT;
  else {
    set_plan(said);
    errno = EEXIST;
  }
  return 1;
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
  start();
  if (heard(path)) return -1;
  if (!(flags & (O_CREAT | O_TRUNC)) || !ours(path)) return real_openat(folder, path, flags, mode);
  /* Opening what is there already changes nothing unless it is cut. */
  if (!(flags & O_TRUNC) && access(path, F_OK) == 0) return real_openat(folder, path, flags, mode);
  enum verdict what = next(0);
  if (what == FAIL) return -1;
  record(flags & O_TRUNC ? "empty" : "create", path + root_length + 1, 0, NULL, 0);
  int fd = real_openat(folder, path, flags, mode);
  if (what == KILL_AFTER) die();
  return fd;
}

#define MODE(flags)                                \
  mode_t mode = 0;                                 \
  if ((flags) & (O_CREAT | O_TMPFILE)) {           \
    va_list rest;                                  \
    va_start(rest, flags);                         \
    mode = va_arg(rest, mode_t);                   \
    va_end(rest);                                  \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags)
  return opened(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return opened(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return opened(folder, path, flags, mode);
}

/* All writes come through here; `at` is -1 for the file's own position. */
static ssize_t written(int fd, const void *data, size_t size, off_t at) {
  char path[PATH_MAX];
  start();
  if (fd == 1) record("say", "-", 0, data, size);
  if (fd == record_fd || !path_of(fd, path))
    return at < 0 ? real_write(fd, data, size) : real_pwrite(fd, data, size, at);
  enum verdict what = next(1);
  if (what == FAIL) return -1;
  if (what == SHORT) size /= 2;
  if (size == 0) return -1;
  off_t place = at < 0 ? lseek(fd, 0, SEEK_CUR) : at;
  record("write", path + root_length + 1, place, data, size);
  ssize_t done = at < 0 ? real_write(fd, data, size) : real_pwrite(fd, data, size, at);
  if (what == KILL_AFTER) die();
  return done;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at); }

/* A vector on one of our files is written in its parts: each is a boundary of its own. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
  char path[PATH_MAX];
  start();
  if (fd != 1 && !path_of(fd, path)) return real_writev(fd, parts, count);
  ssize_t total = 0;
  for (int i = 0; i < count; i += 1) {
    ssize_t done = written(fd, parts[i].iov_base, parts[i].iov_len, -1);
    if (done < 0) return total > 0 ? total : -1;
    total += done;
    if ((size_t)done < parts[i].iov_len) break;
  }
  return total;
}

static int synced(int fd, int (*real)(int)) {
  char path[PATH_MAX + 2];
  start();
  if (!path_of(fd, path)) return real(fd);
  enum verdict what = next(0);
  if (what == FAIL) return -1;
  record("sync", path + root_length + 1, 0, NULL, 0);
  int done = real(fd);
  if (what == KILL_AFTER) die();
  return done;
}

int fsync(int fd) { start(); return synced(fd, real_fsync); }
int fdatasync(int fd) { start(); return synced(fd, real_fdatasync); }

int ftruncate(int fd, off_t size) {
  char path[PATH_MAX];
  start();
  if (!path_of(fd, path)) return real_ftruncate(fd, size);
  enum verdict what = next(0);
  if (what == FAIL) return -1;
  record("cut", path + root_length + 1, size, NULL, 0);
  int done = real_ftruncate(fd, size);
  if (what == KILL_AFTER) die();
  return done;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int rename(const char *from, const char *to) {
  start();
  if (!ours(from) && !ours(to)) return real_rename(from, to);
  enum verdict what = next(0);
  if (what == FAIL) return -1;
  const char *name = to + root_length + 1;
  record("rename", from + root_length + 1, 0, name, strlen(name));
  int done = real_rename(from, to);
  if (what == KILL_AFTER) die();
  return done;
}

int unlink(const char *path) {
  start();
  if (!ours(path)) return real_unlink(path);
  enum verdict what = next(0);
  if (what == FAIL) return -1;
  record("unlink", path + root_length + 1, 0, NULL, 0);
  int done = real_unlink(path);
  if (what == KILL_AFTER) die();
  return done;
}
