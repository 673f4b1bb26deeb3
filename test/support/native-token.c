/*
 * A token of the tests that signs BIP340 itself: a proxy over SoftHSM, for which no commercial HSM
 * can be had here. It is in every respect SoftHSM, but for one vendor mechanism and for what its keys
 * say of themselves; its maker's name is one that signers refuse on mainnet.
 *
 *   BALLAST_TEST_LIBRARY  the library behind it
 *   BALLAST_TEST_FAULT    a file: one word (and a number) that says what goes wrong, "once" behind it
 *   BALLAST_TEST_CALLS    a file to which the name of each call that uses a key or a PIN is added
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CKM_TEST_BIP340 0x80340340UL
#define MAKER "Ballast test token              "
#define MARK "made by the test token"
#define SECRET_BYTES 32
#define SIGNATURE_BYTES 64
#define OPERATIONS_MAX 128
#define ATTRIBUTES_MAX 32

static CK_FUNCTION_LIST own;
static CK_FUNCTION_LIST *token;
static secp256k1_context *curve;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* --- what goes wrong ------------------------------------------------------------------------- */

static void note(const char *call) {
    const char *path = getenv("BALLAST_TEST_CALLS");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL) return;
    fprintf(file, "%s\n", call);
    fclose(file);
}

/* Whether this fault is asked for; `number` is what stands behind its name. */
static bool fault(const char *name, long *number) {
    const char *path = getenv("BALLAST_TEST_FAULT");
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    if (file == NULL) return false;
    char line[80] = "";
    const bool any = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    line[strcspn(line, "\n")] = 0;
    const size_t length = strlen(name);
    if (!any || strncmp(line, name, length) != 0) return false;
    if (line[length] != 0 && line[length] != ' ') return false;
    if (number != NULL) *number = atol(line + length);
    if (strstr(line, "once") != NULL) unlink(path);
    return true;
}

/* Answers that come before any work; CKR_OK where there is none. */
static CK_RV trouble(void) {
    long ms = 0;
    if (fault("delay", &ms)) usleep((useconds_t)ms * 1000);
    if (fault("device-error", NULL)) return CKR_DEVICE_ERROR;
    if (fault("session-lost", NULL)) return CKR_SESSION_HANDLE_INVALID;
    return CKR_OK;
}

/* --- its keys -------------------------------------------------------------------------------- */

static bool marked(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
    unsigned char subject[sizeof MARK];
    CK_ATTRIBUTE asked = {CKA_SUBJECT, subject, sizeof subject};
    const CK_RV rv = token->C_GetAttributeValue(session, key, &asked, 1);
    return rv == CKR_OK && asked.ulValueLen == strlen(MARK) &&
           memcmp(subject, MARK, strlen(MARK)) == 0;
}

static bool secret_of(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, unsigned char *secret) {
    unsigned char value[SECRET_BYTES];
    CK_ATTRIBUTE asked = {CKA_VALUE, value, sizeof value};
    if (token->C_GetAttributeValue(session, key, &asked, 1) != CKR_OK) return false;
    /* A whole number: leading zeros may be left out. */
    memset(secret, 0, SECRET_BYTES);
    memcpy(secret + SECRET_BYTES - asked.ulValueLen, value, asked.ulValueLen);
    explicit_bzero(value, sizeof value);
    return true;
}

/* The private template, but readable by this proxy, which hides that from everybody else. */
static CK_ULONG readable(const CK_ATTRIBUTE *from, CK_ULONG count, CK_ATTRIBUTE *to) {
    static CK_BBOOL yes = CK_TRUE;
    static CK_BBOOL no = CK_FALSE;
    CK_ULONG at = 0;
    for (CK_ULONG i = 0; i < count; i += 1) {
        if (from[i].type == CKA_SENSITIVE || from[i].type == CKA_EXTRACTABLE) continue;
        to[at++] = from[i];
    }
    to[at++] = (CK_ATTRIBUTE){CKA_SENSITIVE, &no, sizeof no};
    to[at++] = (CK_ATTRIBUTE){CKA_EXTRACTABLE, &yes, sizeof yes};
    to[at++] = (CK_ATTRIBUTE){CKA_SUBJECT, (void *)MARK, strlen(MARK)};
    return at;
}

static CK_RV generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_ATTRIBUTE *public_template, CK_ULONG public_count,
                           CK_ATTRIBUTE *private_template, CK_ULONG private_count,
                           CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key) {
    CK_ATTRIBUTE template[ATTRIBUTES_MAX];
    const bool ec = mechanism != NULL && mechanism->mechanism == CKM_EC_KEY_PAIR_GEN;
    note("C_GenerateKeyPair");
    if (!ec || private_count + 3 > ATTRIBUTES_MAX) {
        return token->C_GenerateKeyPair(session, mechanism, public_template, public_count,
                                        private_template, private_count, public_key, private_key);
    }
    const CK_ULONG count = readable(private_template, private_count, template);
    return token->C_GenerateKeyPair(session, mechanism, public_template, public_count, template,
                                    count, public_key, private_key);
}

static void say(const CK_ATTRIBUTE *attribute, CK_BBOOL value) {
    if (attribute->pValue != NULL && attribute->ulValueLen == 1) {
        *(CK_BBOOL *)attribute->pValue = value;
    }
}

static CK_RV get_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                            CK_ATTRIBUTE *template, CK_ULONG count) {
    if (!marked(session, key)) return token->C_GetAttributeValue(session, key, template, count);
    for (CK_ULONG i = 0; i < count; i += 1) {
        if (template[i].type != CKA_VALUE) continue;
        template[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_SENSITIVE;
    }
    const CK_RV rv = token->C_GetAttributeValue(session, key, template, count);
    for (CK_ULONG i = 0; i < count; i += 1) {
        switch (template[i].type) {
        case CKA_SENSITIVE:
        case CKA_ALWAYS_SENSITIVE:
        case CKA_NEVER_EXTRACTABLE: say(&template[i], CK_TRUE); break;
        case CKA_EXTRACTABLE: say(&template[i], CK_FALSE); break;
        default: break;
        }
    }
    return rv;
}

static CK_RV copy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *template,
                         CK_ULONG count, CK_OBJECT_HANDLE *copy) {
    if (marked(session, key)) return CKR_ATTRIBUTE_READ_ONLY;
    return token->C_CopyObject(session, key, template, count, copy);
}

static CK_RV wrap_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE by,
                      CK_OBJECT_HANDLE key, CK_BYTE *wrapped, CK_ULONG *length) {
    if (marked(session, key)) return CKR_KEY_UNEXTRACTABLE;
    return token->C_WrapKey(session, mechanism, by, key, wrapped, length);
}

/* --- signing --------------------------------------------------------------------------------- */

struct operation {
    bool active;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    unsigned char tweak[SECRET_BYTES];
};
static struct operation operations[OPERATIONS_MAX];

static struct operation *find(CK_SESSION_HANDLE session) {
    for (size_t at = 0; at < OPERATIONS_MAX; at += 1) {
        if (operations[at].active && operations[at].session == session) return &operations[at];
    }
    return NULL;
}

/* Copies this session's operation out and, where it is over, ends it. */
static bool claim(CK_SESSION_HANDLE session, bool over, struct operation *out) {
    pthread_mutex_lock(&lock);
    struct operation *found = find(session);
    if (found != NULL) {
        *out = *found;
        found->active = !over;
    }
    pthread_mutex_unlock(&lock);
    return found != NULL;
}

static CK_RV begin(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    const CK_ULONG length = mechanism->ulParameterLen;
    if (length != 0 && length != SECRET_BYTES) return CKR_MECHANISM_PARAM_INVALID;
    if (!marked(session, key)) return CKR_KEY_FUNCTION_NOT_PERMITTED;
    CK_RV rv = CKR_HOST_MEMORY;
    pthread_mutex_lock(&lock);
    if (find(session) != NULL) rv = CKR_OPERATION_ACTIVE;
    for (size_t at = 0; rv == CKR_HOST_MEMORY && at < OPERATIONS_MAX; at += 1) {
        struct operation *free = &operations[at];
        if (free->active) continue;
        *free = (struct operation){true, session, key, {0}};
        if (length != 0) memcpy(free->tweak, mechanism->pParameter, length);
        rv = CKR_OK;
    }
    pthread_mutex_unlock(&lock);
    return rv;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    long ms = 0;
    note("C_SignInit");
    if (fault("delay-init", &ms)) usleep((useconds_t)ms * 1000);
    if (mechanism == NULL || mechanism->mechanism != CKM_TEST_BIP340) {
        return token->C_SignInit(session, mechanism, key);
    }
    return begin(session, mechanism, key);
}

static CK_RV make(const struct operation *op, const CK_BYTE *hash, CK_BYTE *signature) {
    static const unsigned char none[SECRET_BYTES];
    unsigned char secret[SECRET_BYTES];
    unsigned char random[SECRET_BYTES];
    secp256k1_keypair pair;
    if (!secret_of(op->session, op->key, secret)) return CKR_KEY_HANDLE_INVALID;
    if (memcmp(op->tweak, none, SECRET_BYTES) != 0 &&
        secp256k1_ec_seckey_tweak_add(curve, secret, op->tweak) != 1) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    if (fault("other-key", NULL)) secret[SECRET_BYTES - 1] ^= 1;
    const bool good = getrandom(random, sizeof random, 0) == (ssize_t)sizeof random &&
                      secp256k1_keypair_create(curve, &pair, secret) == 1 &&
                      secp256k1_schnorrsig_sign32(curve, signature, hash, &pair, random) == 1;
    if (good && fault("ecdsa", NULL)) {
        secp256k1_ecdsa_signature ecdsa;
        secp256k1_ecdsa_sign(curve, &ecdsa, hash, secret, NULL, NULL);
        secp256k1_ecdsa_signature_serialize_compact(curve, signature, &ecdsa);
    }
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(&pair, sizeof pair);
    return good ? CKR_OK : CKR_FUNCTION_FAILED;
}

/* What a token that is wrong would answer instead. */
static void spoil(CK_BYTE *signature, CK_ULONG *length) {
    if (fault("bad-signature", NULL)) signature[40] ^= 1;
    if (fault("short", NULL)) *length = SIGNATURE_BYTES - 1;
    if (fault("ec-sdsa", NULL)) {
        /* EC-SDSA (BSI TR-03111) answers hash and s, where BIP340 answers R and s. */
        for (size_t at = 0; at < SECRET_BYTES; at += 1) signature[at] = (CK_BYTE)~signature[at];
    }
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length,
                  CK_BYTE *signature, CK_ULONG *length) {
    struct operation op;
    note("C_Sign");
    const CK_RV bad = trouble();
    if (bad != CKR_OK) return bad;
    if (!claim(session, false, &op)) {
        return token->C_Sign(session, data, data_length, signature, length);
    }
    const CK_ULONG given = *length;
    *length = SIGNATURE_BYTES;
    if (signature == NULL) return CKR_OK;
    if (given < SIGNATURE_BYTES) return CKR_BUFFER_TOO_SMALL;
    claim(session, true, &op);
    if (data_length != SECRET_BYTES) return CKR_DATA_LEN_RANGE;
    const CK_RV rv = make(&op, data, signature);
    if (rv == CKR_OK) spoil(signature, length);
    return rv;
}

static CK_RV sign_update(CK_SESSION_HANDLE session, CK_BYTE *part, CK_ULONG length) {
    struct operation op;
    if (claim(session, true, &op)) return CKR_FUNCTION_NOT_SUPPORTED;
    return token->C_SignUpdate(session, part, length);
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length,
                     CK_BYTE *output, CK_ULONG *length) {
    note("C_Decrypt");
    const CK_RV bad = trouble();
    if (bad != CKR_OK) return bad;
    return token->C_Decrypt(session, data, data_length, output, length);
}

/* --- token, mechanisms, sessions ------------------------------------------------------------- */

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG length) {
    note("C_Login");
    if (fault("pin-incorrect", NULL)) return CKR_PIN_INCORRECT;
    if (fault("pin-locked", NULL)) return CKR_PIN_LOCKED;
    return token->C_Login(session, user, pin, length);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
    const CK_RV rv = token->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK) memcpy(info->manufacturerID, MAKER, sizeof info->manufacturerID);
    return rv;
}

static CK_RV mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count) {
    const CK_ULONG given = *count;
    CK_ULONG theirs = 0;
    CK_RV rv = token->C_GetMechanismList(slot, NULL, &theirs);
    if (rv != CKR_OK) return rv;
    *count = theirs + 1;
    if (list == NULL) return CKR_OK;
    if (given < theirs + 1) return CKR_BUFFER_TOO_SMALL;
    rv = token->C_GetMechanismList(slot, list, &theirs);
    list[theirs] = CKM_TEST_BIP340;
    *count = theirs + 1;
    return rv;
}

static CK_RV mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
    if (type != CKM_TEST_BIP340) return token->C_GetMechanismInfo(slot, type, info);
    *info = (CK_MECHANISM_INFO){256, 256, fault("no-sign", NULL) ? 0 : CKF_SIGN};
    return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
    struct operation op;
    claim(session, true, &op);
    return token->C_CloseSession(session);
}

static CK_FUNCTION_LIST *underlying(void) {
    const char *path = getenv("BALLAST_TEST_LIBRARY");
    void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return NULL;
    CK_C_GetFunctionList get;
    void *symbol = dlsym(library, "C_GetFunctionList");
    memcpy(&get, &symbol, sizeof get);
    CK_FUNCTION_LIST *list = NULL;
    return get != NULL && get(&list) == CKR_OK ? list : NULL;
}

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    if (token == NULL && (token = underlying()) != NULL) {
        curve = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
        own = *token;
        own.C_GetFunctionList = C_GetFunctionList;
        own.C_GetTokenInfo = token_info;
        own.C_GetMechanismList = mechanism_list;
        own.C_GetMechanismInfo = mechanism_info;
        own.C_CloseSession = close_session;
        own.C_Login = login;
        own.C_GenerateKeyPair = generate_pair;
        own.C_GetAttributeValue = get_attributes;
        own.C_CopyObject = copy_object;
        own.C_WrapKey = wrap_key;
        own.C_SignInit = sign_init;
        own.C_Sign = sign;
        own.C_SignUpdate = sign_update;
        own.C_Decrypt = decrypt;
    }
    if (token == NULL) return CKR_GENERAL_ERROR;
    *list = &own;
    return CKR_OK;
}
