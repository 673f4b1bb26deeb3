/* Locked memory for secrets: never swapped, never in a core dump, never in a forked child. */
#ifndef BALLAST_ARENA_H
#define BALLAST_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of one operation's place: a key with the room that a token asks for, and a keypair. */
#define SLOT_BYTES 768

/* Maps and locks the memory, once. False where the system does not allow it. */
bool arena_open(void);

/* A place of SLOT_BYTES for one operation, or NULL where all are taken. */
unsigned char *arena_take(void);

/* Overwrites the place and gives it back. */
void arena_give(unsigned char *slot);

/* Overwrites what earlier calls left on the stack below the caller. */
void stack_scrub(void);

#endif
