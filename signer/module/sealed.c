#define _GNU_SOURCE
#include "sealed.h"

#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "arena.h"

#define SECRET_BYTES 32
#define AAD_MAX 512
#define RSA_BYTES_MAX 512

static secp256k1_context *curve;
static const unsigned char NO_TWEAK[SECRET_BYTES];

/* Everything that a signature needs of a secret, in one locked place. */
struct secrets {
    unsigned char key[RSA_BYTES_MAX]; /* tokens ask for as much room as the ciphertext takes */
    unsigned char random[SECRET_BYTES];
    secp256k1_keypair pair;
};
_Static_assert(sizeof(struct secrets) <= SLOT_BYTES, "a slot holds all secrets of an operation");

/* A run of bytes inside a parameter. */
struct bytes {
    const unsigned char *at;
    size_t length;
};

/* A key as it is sealed: by which key, how, and what it is bound to. */
enum kind { KIND_GCM = 1, KIND_OAEP_SHA1 = 2, KIND_OAEP_SHA256 = 3 };
struct seal {
    enum kind kind;
    CK_OBJECT_HANDLE key;
    const unsigned char *iv;
    struct bytes aad;
    struct bytes ciphertext;
};

struct sign_parameter {
    const unsigned char *tweak;
    const unsigned char *point;
    struct seal seal;
};
struct make_parameter {
    struct bytes prefix;
    struct bytes suffix;
};
struct move_parameter {
    struct seal from;
    const unsigned char *point;
    enum kind to;
    struct bytes to_aad;
};

int sealed_open(void) {
    unsigned char seed[SECRET_BYTES];
    if (curve != NULL) return 1;
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed) return 0;
    secp256k1_context *made =
        secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
    if (made != NULL && secp256k1_context_randomize(made, seed) == 1) curve = made;
    explicit_bzero(seed, sizeof seed);
    return curve != NULL;
}

/* --- parameters ------------------------------------------------------------------------------ */

/* Takes `length` bytes from the front; NULL where there are fewer. */
static const unsigned char *take(struct bytes *rest, size_t length) {
    if (rest->length < length) return NULL;
    const unsigned char *at = rest->at;
    rest->at += length;
    rest->length -= length;
    return at;
}

/* Takes a run that is preceded by its length in two bytes. */
static bool take_run(struct bytes *rest, struct bytes *run) {
    const unsigned char *length = take(rest, 2);
    if (length == NULL) return false;
    run->length = (size_t)length[0] << 8 | length[1];
    run->at = take(rest, run->length);
    return run->at != NULL && run->length <= AAD_MAX;
}

static bool read_sign(struct bytes rest, struct sign_parameter *out) {
    take(&rest, 1);
    out->tweak = take(&rest, SECRET_BYTES);
    out->point = take(&rest, POINT_BYTES);
    out->seal.kind = KIND_GCM;
    out->seal.iv = take(&rest, IV_BYTES);
    out->seal.ciphertext = (struct bytes){take(&rest, SEALED_BYTES), SEALED_BYTES};
    out->seal.aad = rest;
    return out->seal.ciphertext.at != NULL && rest.length >= 1 && rest.length <= AAD_MAX;
}

static bool read_make(struct bytes rest, struct make_parameter *out) {
    take(&rest, 1);
    if (!take_run(&rest, &out->prefix)) return false;
    out->suffix = rest;
    return out->prefix.length + rest.length + 4 + POINT_BYTES <= AAD_MAX;
}

static bool known(unsigned char kind) { return kind >= KIND_GCM && kind <= KIND_OAEP_SHA256; }

static bool read_move(struct bytes rest, struct move_parameter *out) {
    const unsigned char *head = take(&rest, 1 + 2 + 8 + POINT_BYTES);
    if (head == NULL || !known(head[1]) || !known(head[2])) return false;
    out->from.kind = head[1];
    out->to = head[2];
    out->from.key = 0;
    for (size_t at = 0; at < 8; at += 1) out->from.key = out->from.key << 8 | head[3 + at];
    out->point = head + 11;
    if (!take_run(&rest, &out->to_aad) || !take_run(&rest, &out->from.aad)) return false;
    /* What AES-GCM seals is bound to something; RSA-OAEP binds to nothing here. */
    if ((out->to == KIND_GCM) != (out->to_aad.length > 0)) return false;
    if ((out->from.kind == KIND_GCM) != (out->from.aad.length > 0)) return false;
    out->from.iv = out->from.kind == KIND_GCM ? take(&rest, IV_BYTES) : NULL;
    if (out->from.kind == KIND_GCM && (out->from.iv == NULL || rest.length != SEALED_BYTES)) {
        return false;
    }
    out->from.ciphertext = rest;
    return rest.length >= 1 && rest.length <= RSA_BYTES_MAX;
}

static bool is_point(const unsigned char *point) {
    secp256k1_pubkey parsed;
    return secp256k1_ec_pubkey_parse(curve, &parsed, point, POINT_BYTES) == 1;
}

/* The x-only key of account + tweak, from public parts alone. */
static bool tweaked_point(const struct sign_parameter *p, secp256k1_xonly_pubkey *out) {
    secp256k1_pubkey point;
    if (secp256k1_ec_pubkey_parse(curve, &point, p->point, POINT_BYTES) != 1) return false;
    /* Fails for a tweak of n or more, and for one that cancels the key. */
    if (secp256k1_ec_pubkey_tweak_add(curve, &point, p->tweak) != 1) return false;
    return secp256k1_xonly_pubkey_from_pubkey(curve, out, NULL, &point) == 1;
}

CK_RV sealed_check(enum form form, const unsigned char *parameter, size_t length) {
    const struct bytes all = {parameter, length};
    bool good = false;
    if (length >= 1 && length <= PARAMETER_MAX && parameter[0] == form) {
        struct sign_parameter sign;
        struct make_parameter make;
        struct move_parameter move;
        secp256k1_xonly_pubkey expected;
        switch (form) {
        case FORM_SIGN: good = read_sign(all, &sign) && tweaked_point(&sign, &expected); break;
        case FORM_MAKE: good = read_make(all, &make); break;
        case FORM_MOVE: good = read_move(all, &move) && is_point(move.point); break;
        }
    }
    return good ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* --- the token's part ------------------------------------------------------------------------ */

/* PKCS#11 2.40's 48 bytes. */
struct gcm_params {
    CK_BYTE *iv;
    CK_ULONG iv_bytes;
    CK_ULONG iv_bits;
    CK_BYTE *aad;
    CK_ULONG aad_bytes;
    CK_ULONG tag_bits;
};
union cipher_params {
    struct gcm_params gcm;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
};

static CK_MECHANISM cipher(enum kind kind, unsigned char *iv, struct bytes aad,
                           union cipher_params *params) {
    if (kind == KIND_GCM) {
        params->gcm = (struct gcm_params){
            iv, IV_BYTES, IV_BYTES * 8, (CK_BYTE *)aad.at, aad.length, 128,
        };
        return (CK_MECHANISM){CKM_AES_GCM, &params->gcm, sizeof params->gcm};
    }
    const bool sha1 = kind == KIND_OAEP_SHA1;
    params->oaep = (CK_RSA_PKCS_OAEP_PARAMS){
        sha1 ? CKM_SHA_1 : CKM_SHA256, sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256, 1, NULL, 0,
    };
    return (CK_MECHANISM){CKM_RSA_PKCS_OAEP, &params->oaep, sizeof params->oaep};
}

/* Whether the key in these bytes is the one of this point. */
static bool is_key_of(const unsigned char *key, const unsigned char *point) {
    secp256k1_pubkey pub;
    unsigned char own[POINT_BYTES];
    size_t length = sizeof own;
    if (secp256k1_ec_pubkey_create(curve, &pub, key) != 1) return false;
    secp256k1_ec_pubkey_serialize(curve, own, &length, &pub, SECP256K1_EC_COMPRESSED);
    return memcmp(own, point, POINT_BYTES) == 0;
}

/* Opens a sealed key into `key`, RSA_BYTES_MAX of locked memory, and checks whose it is. */
static CK_RV open_seal(const struct place *at, const struct seal *seal, const unsigned char *point,
                       unsigned char *key) {
    unsigned char iv[IV_BYTES] = {0};
    union cipher_params params;
    if (seal->kind == KIND_GCM) memcpy(iv, seal->iv, IV_BYTES);
    CK_MECHANISM mechanism = cipher(seal->kind, iv, seal->aad, &params);
    CK_RV rv = at->token->C_DecryptInit(at->session, &mechanism, seal->key);
    if (rv != CKR_OK) return rv;
    CK_ULONG length = RSA_BYTES_MAX;
    rv = at->token->C_Decrypt(at->session, (CK_BYTE *)seal->ciphertext.at,
                              seal->ciphertext.length, key, &length);
    if (rv != CKR_OK) return rv;
    const bool ours = length == SECRET_BYTES && is_key_of(key, point);
    return ours ? CKR_OK : CKR_ENCRYPTED_DATA_INVALID;
}

/* Seals a key for `at->key`; `iv` is both what we propose and what the token took. */
static CK_RV close_seal(const struct place *at, enum kind kind, struct bytes aad,
                        const unsigned char *key, unsigned char *iv, unsigned char *ciphertext,
                        CK_ULONG *length) {
    union cipher_params params;
    if (kind == KIND_GCM && getrandom(iv, IV_BYTES, 0) != IV_BYTES) return CKR_RANDOM_NO_RNG;
    CK_MECHANISM mechanism = cipher(kind, iv, aad, &params);
    CK_RV rv = at->token->C_EncryptInit(at->session, &mechanism, at->key);
    if (rv != CKR_OK) return rv;
    return at->token->C_Encrypt(at->session, (CK_BYTE *)key, SECRET_BYTES, ciphertext, length);
}

/* The token's randomness XOR the system's: good while either is. */
static CK_RV fresh(const struct place *at, unsigned char out[SECRET_BYTES]) {
    unsigned char ours[SECRET_BYTES];
    CK_RV rv = at->token->C_GenerateRandom(at->session, out, SECRET_BYTES);
    if (rv == CKR_OK && getrandom(ours, sizeof ours, 0) != (ssize_t)sizeof ours) {
        rv = CKR_RANDOM_NO_RNG;
    }
    for (size_t i = 0; rv == CKR_OK && i < SECRET_BYTES; i += 1) out[i] ^= ours[i];
    explicit_bzero(ours, sizeof ours);
    return rv;
}

/* --- the three forms ------------------------------------------------------------------------- */

static CK_RV sign_in(const struct place *at, const struct sign_parameter *p,
                     const unsigned char *hash, unsigned char *signature, struct secrets *in) {
    secp256k1_xonly_pubkey expected;
    if (!tweaked_point(p, &expected)) return CKR_MECHANISM_PARAM_INVALID;
    CK_RV rv = open_seal(at, &p->seal, p->point, in->key);
    if (rv != CKR_OK) return rv;
    if (memcmp(p->tweak, NO_TWEAK, SECRET_BYTES) != 0 &&
        secp256k1_ec_seckey_tweak_add(curve, in->key, p->tweak) != 1) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    rv = fresh(at, in->random);
    if (rv != CKR_OK) return rv;
    if (secp256k1_keypair_create(curve, &in->pair, in->key) != 1 ||
        secp256k1_schnorrsig_sign32(curve, signature, hash, &in->pair, in->random) != 1) {
        return CKR_FUNCTION_FAILED;
    }
    /* Invariant: what does not verify under the public side does not leave. */
    if (secp256k1_schnorrsig_verify(curve, signature, hash, HASH_BYTES, &expected) == 1) {
        return CKR_OK;
    }
    explicit_bzero(signature, SIGNATURE_BYTES);
    return CKR_FUNCTION_FAILED;
}

CK_RV sealed_sign(const struct place *at, const unsigned char *parameter, size_t length,
                  const unsigned char hash[HASH_BYTES], unsigned char signature[SIGNATURE_BYTES]) {
    struct sign_parameter p;
    if (!read_sign((struct bytes){parameter, length}, &p)) return CKR_MECHANISM_PARAM_INVALID;
    p.seal.key = at->key;
    unsigned char *slot = arena_take();
    if (slot == NULL) return CKR_HOST_MEMORY;
    CK_RV rv = sign_in(at, &p, hash, signature, (struct secrets *)slot);
    arena_give(slot);
    stack_scrub();
    return rv;
}

static CK_RV make_in(const struct place *at, const struct make_parameter *p,
                     const unsigned char *entropy, unsigned char *made, struct secrets *in) {
    CK_RV rv = fresh(at, in->key);
    if (rv != CKR_OK) return rv;
    for (size_t i = 0; i < SECRET_BYTES; i += 1) in->key[i] ^= entropy[i];
    secp256k1_pubkey point;
    /* Out of 1..n-1 once in 2^128 draws; the caller may ask again. */
    if (secp256k1_ec_pubkey_create(curve, &point, in->key) != 1) return CKR_FUNCTION_FAILED;
    size_t length = POINT_BYTES;
    secp256k1_ec_pubkey_serialize(curve, made, &length, &point, SECP256K1_EC_COMPRESSED);

    unsigned char aad[AAD_MAX];
    unsigned char *end = aad;
    end = mempcpy(end, p->prefix.at, p->prefix.length);
    end = mempcpy(end, "\0\0\0\x21", 4);
    end = mempcpy(end, made, POINT_BYTES);
    end = mempcpy(end, p->suffix.at, p->suffix.length);
    const struct bytes bound = {aad, (size_t)(end - aad)};
    CK_ULONG sealed = SEALED_BYTES;
    unsigned char *iv = made + POINT_BYTES;
    rv = close_seal(at, KIND_GCM, bound, in->key, iv, iv + IV_BYTES, &sealed);
    return rv == CKR_OK && sealed != SEALED_BYTES ? CKR_FUNCTION_FAILED : rv;
}

CK_RV sealed_make(const struct place *at, const unsigned char *parameter, size_t length,
                  const unsigned char entropy[HASH_BYTES], unsigned char made[MADE_BYTES]) {
    struct make_parameter p;
    if (!read_make((struct bytes){parameter, length}, &p)) return CKR_MECHANISM_PARAM_INVALID;
    unsigned char *slot = arena_take();
    if (slot == NULL) return CKR_HOST_MEMORY;
    CK_RV rv = make_in(at, &p, entropy, made, (struct secrets *)slot);
    arena_give(slot);
    stack_scrub();
    return rv;
}

CK_ULONG sealed_moved_bytes(const struct place *at, const unsigned char *parameter) {
    if (parameter[2] == KIND_GCM) return IV_BYTES + SEALED_BYTES;
    CK_ATTRIBUTE modulus = {CKA_MODULUS, NULL, 0};
    const CK_RV rv = at->token->C_GetAttributeValue(at->session, at->key, &modulus, 1);
    const bool known_size = rv == CKR_OK && modulus.ulValueLen <= RSA_BYTES_MAX;
    return known_size ? modulus.ulValueLen : 0;
}

CK_RV sealed_move(const struct place *at, const unsigned char *parameter, size_t length,
                  unsigned char *moved, CK_ULONG *bytes) {
    struct move_parameter p;
    if (!read_move((struct bytes){parameter, length}, &p)) return CKR_MECHANISM_PARAM_INVALID;
    unsigned char *slot = arena_take();
    if (slot == NULL) return CKR_HOST_MEMORY;
    struct secrets *in = (struct secrets *)slot;
    CK_RV rv = open_seal(at, &p.from, p.point, in->key);
    if (rv == CKR_OK) {
        const size_t ahead = p.to == KIND_GCM ? IV_BYTES : 0;
        CK_ULONG sealed = *bytes - ahead;
        rv = close_seal(at, p.to, p.to_aad, in->key, moved, moved + ahead, &sealed);
        *bytes = sealed + ahead;
    }
    arena_give(slot);
    stack_scrub();
    return rv;
}
