#define _GNU_SOURCE
#include "arena.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* As many operations at one time as a token is ever given sessions here. */
#define SLOTS 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char *memory;
static bool taken[SLOTS];

bool arena_open(void) {
    pthread_mutex_lock(&lock);
    if (memory == NULL) {
        const size_t bytes = (size_t)SLOTS * SLOT_BYTES;
        void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map != MAP_FAILED) {
            const bool kept = mlock(map, bytes) == 0 && madvise(map, bytes, MADV_DONTDUMP) == 0 &&
                              madvise(map, bytes, MADV_DONTFORK) == 0;
            if (kept) memory = map;
            else munmap(map, bytes);
        }
    }
    const bool open = memory != NULL;
    pthread_mutex_unlock(&lock);
    return open;
}

unsigned char *arena_take(void) {
    unsigned char *slot = NULL;
    pthread_mutex_lock(&lock);
    for (size_t at = 0; memory != NULL && slot == NULL && at < SLOTS; at += 1) {
        if (taken[at]) continue;
        taken[at] = true;
        slot = memory + at * SLOT_BYTES;
    }
    pthread_mutex_unlock(&lock);
    return slot;
}

void arena_give(unsigned char *slot) {
    explicit_bzero(slot, SLOT_BYTES);
    pthread_mutex_lock(&lock);
    taken[(size_t)(slot - memory) / SLOT_BYTES] = false;
    pthread_mutex_unlock(&lock);
}

/* libsecp256k1 clears its scalars, but not every copy that a compiler spilled. */
__attribute__((noinline)) void stack_scrub(void) {
    unsigned char below[32 * 1024];
    explicit_bzero(below, sizeof below);
}
