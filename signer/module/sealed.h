/* Sealed account keys: opened by the token, used once in locked memory, wiped. */
#ifndef BALLAST_SEALED_H
#define BALLAST_SEALED_H

#include <p11-kit/pkcs11.h>

/* The one mechanism of this module; README.md has the format of its parameter. */
#define CKM_BALLAST_SEALED_BIP340 0x8B340340UL

#define POINT_BYTES 33
#define IV_BYTES 12
#define SEALED_BYTES 48 /* 32 of the key, 16 of the tag */
#define SIGNATURE_BYTES 64
#define HASH_BYTES 32
#define MADE_BYTES (POINT_BYTES + IV_BYTES + SEALED_BYTES)
#define PARAMETER_MAX 2048

/* Where an operation works: the token's own functions, and the key named at its Init. */
struct place {
    CK_FUNCTION_LIST *token;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

/* What stands in the first byte of a parameter. */
enum form { FORM_SIGN = 1, FORM_MAKE = 2, FORM_MOVE = 3 };

/* The curve's tables, blinded by fresh randomness. False where the system gives none. */
int sealed_open(void);

/* CKR_OK where the parameter is whole and well formed, CKR_MECHANISM_PARAM_INVALID else. */
CK_RV sealed_check(enum form form, const unsigned char *parameter, size_t length);

/* Signs 32 bytes by the sealed key of the parameter. */
CK_RV sealed_sign(const struct place *at, const unsigned char *parameter, size_t length,
                  const unsigned char hash[HASH_BYTES], unsigned char signature[SIGNATURE_BYTES]);

/* Draws a new key and seals it; `entropy` is the caller's share of the randomness. */
CK_RV sealed_make(const struct place *at, const unsigned char *parameter, size_t length,
                  const unsigned char entropy[HASH_BYTES], unsigned char made[MADE_BYTES]);

/* Bytes that a move gives, or 0 where the target key does not say its size. */
CK_ULONG sealed_moved_bytes(const struct place *at, const unsigned char *parameter);

/* Opens a sealed key and seals it for another key of the token. */
CK_RV sealed_move(const struct place *at, const unsigned char *parameter, size_t length,
                  unsigned char *moved, CK_ULONG *bytes);

#endif
