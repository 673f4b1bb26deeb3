/*
 * A PKCS#11 module before another one: every call is passed on, and one mechanism is added, BIP340
 * by a sealed key. The other one is named by the environment variable BALLAST_PKCS11_MODULE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "arena.h"
#include "sealed.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

static CK_FUNCTION_LIST own;
static CK_FUNCTION_LIST *token;

/* --- operations: at most one of ours in a session -------------------------------------------- */

#define OPERATIONS_MAX 128

struct operation {
    bool active;
    bool busy; /* a thread works on it: nobody else may */
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    enum form form;
    size_t length;
    unsigned char parameter[PARAMETER_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct operation operations[OPERATIONS_MAX];

static struct operation *find(CK_SESSION_HANDLE session) {
    for (size_t at = 0; at < OPERATIONS_MAX; at += 1) {
        if (operations[at].active && operations[at].session == session) return &operations[at];
    }
    return NULL;
}

static bool is_ours(CK_SESSION_HANDLE session, bool signing) {
    pthread_mutex_lock(&lock);
    const struct operation *found = find(session);
    const bool ours = found != NULL && (found->form == FORM_SIGN) == signing;
    pthread_mutex_unlock(&lock);
    return ours;
}

static CK_RV begin(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
                   enum form form) {
    CK_SESSION_INFO info;
    /* Asked first: before C_Initialize the token says so, and there is no curve to check points on. */
    const CK_RV alive = token->C_GetSessionInfo(session, &info);
    if (alive != CKR_OK) return alive;
    const CK_RV bad = sealed_check(form, mechanism->pParameter, mechanism->ulParameterLen);
    if (bad != CKR_OK) return bad;
    CK_RV rv = CKR_HOST_MEMORY;
    pthread_mutex_lock(&lock);
    if (find(session) != NULL) rv = CKR_OPERATION_ACTIVE;
    for (size_t at = 0; rv == CKR_HOST_MEMORY && at < OPERATIONS_MAX; at += 1) {
        struct operation *free = &operations[at];
        if (free->active) continue;
        *free = (struct operation){true, false, session, key, form, mechanism->ulParameterLen, {0}};
        memcpy(free->parameter, mechanism->pParameter, mechanism->ulParameterLen);
        rv = CKR_OK;
    }
    pthread_mutex_unlock(&lock);
    return rv;
}

/* Copies the operation out, for work without the lock; false where a thread has it already. */
static bool claim(CK_SESSION_HANDLE session, struct operation *out) {
    pthread_mutex_lock(&lock);
    struct operation *found = find(session);
    const bool mine = found != NULL && !found->busy;
    if (mine) {
        found->busy = true;
        *out = *found;
    }
    pthread_mutex_unlock(&lock);
    return mine;
}

static void settle(CK_SESSION_HANDLE session, bool over) {
    pthread_mutex_lock(&lock);
    struct operation *found = find(session);
    if (found != NULL) {
        found->busy = false;
        found->active = !over;
    }
    pthread_mutex_unlock(&lock);
}

static void forget_all(void) {
    pthread_mutex_lock(&lock);
    for (size_t at = 0; at < OPERATIONS_MAX; at += 1) operations[at].active = false;
    pthread_mutex_unlock(&lock);
}

/* A length query and a buffer that is too small keep the operation; everything else ends it. */
static bool keeps(CK_RV rv, const CK_BYTE *output) {
    return rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && output == NULL);
}

/* CKR_OK where the work is to be done; else what to answer. */
static CK_RV room(CK_ULONG needed, const CK_BYTE *output, CK_ULONG *length, bool *work) {
    const CK_ULONG given = *length;
    *work = false;
    if (needed == 0) return CKR_KEY_HANDLE_INVALID;
    *length = needed;
    if (output == NULL) return CKR_OK;
    if (given < needed) return CKR_BUFFER_TOO_SMALL;
    *work = true;
    return CKR_OK;
}

/* --- signing --------------------------------------------------------------------------------- */

static bool ours(const CK_MECHANISM *mechanism) {
    return mechanism != NULL && mechanism->mechanism == CKM_BALLAST_SEALED_BIP340;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    if (ours(mechanism)) return begin(session, mechanism, key, FORM_SIGN);
    if (is_ours(session, true)) return CKR_OPERATION_ACTIVE;
    return token->C_SignInit(session, mechanism, key);
}

static CK_RV sign_with(const struct operation *op, const CK_BYTE *data, CK_ULONG data_length,
                       CK_BYTE *signature, CK_ULONG *length) {
    if (length == NULL) return CKR_ARGUMENTS_BAD;
    if (data_length != HASH_BYTES) return CKR_DATA_LEN_RANGE;
    if (data == NULL) return CKR_ARGUMENTS_BAD;
    bool work;
    const CK_RV rv = room(SIGNATURE_BYTES, signature, length, &work);
    if (!work) return rv;
    const struct place at = {token, op->session, op->key};
    return sealed_sign(&at, op->parameter, op->length, data, signature);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length,
                  CK_BYTE *signature, CK_ULONG *length) {
    struct operation op;
    if (!is_ours(session, true)) {
        return token->C_Sign(session, data, data_length, signature, length);
    }
    if (!claim(session, &op)) return CKR_OPERATION_ACTIVE;
    const CK_RV rv = sign_with(&op, data, data_length, signature, length);
    settle(session, !keeps(rv, signature));
    return rv;
}

static CK_RV sign_update(CK_SESSION_HANDLE session, CK_BYTE *part, CK_ULONG length) {
    if (!is_ours(session, true)) return token->C_SignUpdate(session, part, length);
    settle(session, true);
    return CKR_FUNCTION_NOT_SUPPORTED;
}

static CK_RV sign_final(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *length) {
    if (!is_ours(session, true)) return token->C_SignFinal(session, signature, length);
    settle(session, true);
    return CKR_FUNCTION_NOT_SUPPORTED;
}

/* --- making and moving sealed keys ----------------------------------------------------------- */

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE key) {
    if (!ours(mechanism)) {
        if (is_ours(session, false)) return CKR_OPERATION_ACTIVE;
        return token->C_EncryptInit(session, mechanism, key);
    }
    const unsigned char *parameter = mechanism->pParameter;
    const bool named = parameter != NULL && mechanism->ulParameterLen > 0;
    const bool move = named && parameter[0] == FORM_MOVE;
    return begin(session, mechanism, key, move ? FORM_MOVE : FORM_MAKE);
}

static CK_RV encrypt_with(const struct operation *op, const CK_BYTE *data, CK_ULONG data_length,
                          CK_BYTE *output, CK_ULONG *length) {
    const struct place at = {token, op->session, op->key};
    const bool make = op->form == FORM_MAKE;
    if (length == NULL) return CKR_ARGUMENTS_BAD;
    if (data_length != HASH_BYTES && (make || data_length != 0)) return CKR_DATA_LEN_RANGE;
    if (make && data == NULL) return CKR_ARGUMENTS_BAD;
    const CK_ULONG needed = make ? MADE_BYTES : sealed_moved_bytes(&at, op->parameter);
    bool work;
    const CK_RV rv = room(needed, output, length, &work);
    if (!work) return rv;
    return make ? sealed_make(&at, op->parameter, op->length, data, output)
                : sealed_move(&at, op->parameter, op->length, output, length);
}

static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length,
                     CK_BYTE *output, CK_ULONG *length) {
    struct operation op;
    if (!is_ours(session, false)) {
        return token->C_Encrypt(session, data, data_length, output, length);
    }
    if (!claim(session, &op)) return CKR_OPERATION_ACTIVE;
    const CK_RV rv = encrypt_with(&op, data, data_length, output, length);
    settle(session, !keeps(rv, output));
    return rv;
}

static CK_RV encrypt_update(CK_SESSION_HANDLE session, CK_BYTE *part, CK_ULONG part_length,
                            CK_BYTE *output, CK_ULONG *length) {
    if (!is_ours(session, false)) {
        return token->C_EncryptUpdate(session, part, part_length, output, length);
    }
    settle(session, true);
    return CKR_FUNCTION_NOT_SUPPORTED;
}

static CK_RV encrypt_final(CK_SESSION_HANDLE session, CK_BYTE *output, CK_ULONG *length) {
    if (!is_ours(session, false)) return token->C_EncryptFinal(session, output, length);
    settle(session, true);
    return CKR_FUNCTION_NOT_SUPPORTED;
}

/* --- mechanisms, sessions, life -------------------------------------------------------------- */

/* The mechanism is there where the token can open what it seals. */
static bool can_seal(CK_SLOT_ID slot) {
    CK_MECHANISM_INFO info;
    return token->C_GetMechanismInfo(slot, CKM_AES_GCM, &info) == CKR_OK;
}

static CK_RV mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count) {
    if (count == NULL || !can_seal(slot)) return token->C_GetMechanismList(slot, list, count);
    const CK_ULONG given = *count;
    CK_ULONG theirs = 0;
    CK_RV rv = token->C_GetMechanismList(slot, NULL, &theirs);
    if (rv != CKR_OK) return rv;
    *count = theirs + 1;
    if (list == NULL) return CKR_OK;
    if (given < theirs + 1) return CKR_BUFFER_TOO_SMALL;
    rv = token->C_GetMechanismList(slot, list, &theirs);
    if (rv != CKR_OK) return rv;
    list[theirs] = CKM_BALLAST_SEALED_BIP340;
    *count = theirs + 1;
    return CKR_OK;
}

static CK_RV mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
    if (type != CKM_BALLAST_SEALED_BIP340 || info == NULL || !can_seal(slot)) {
        return token->C_GetMechanismInfo(slot, type, info);
    }
    *info = (CK_MECHANISM_INFO){256, 256, CKF_SIGN | CKF_ENCRYPT};
    return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
    settle(session, true);
    return token->C_CloseSession(session);
}

static CK_RV close_all_sessions(CK_SLOT_ID slot) {
    forget_all();
    return token->C_CloseAllSessions(slot);
}

static CK_RV initialize(void *arguments) {
    /* A core file or a debugger of the same user would show what the arena hides. */
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || !arena_open() || !sealed_open()) return CKR_HOST_MEMORY;
    return token->C_Initialize(arguments);
}

static CK_RV finalize(void *reserved) {
    forget_all();
    return token->C_Finalize(reserved);
}

static CK_FUNCTION_LIST *underlying(void) {
    const char *path = getenv("BALLAST_PKCS11_MODULE");
    if (path == NULL || path[0] != '/') return NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return NULL;
    CK_C_GetFunctionList get;
    void *symbol = dlsym(library, "C_GetFunctionList");
    /* ISO C has no cast from an object's address to a function's. */
    memcpy(&get, &symbol, sizeof get);
    CK_FUNCTION_LIST *list = NULL;
    /* A module that is told to stand before itself would wait for its own lock for ever. */
    const bool other = get != NULL && get != C_GetFunctionList;
    return other && get(&list) == CKR_OK ? list : NULL;
}

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    if (list == NULL) return CKR_ARGUMENTS_BAD;
    pthread_mutex_lock(&lock);
    if (token == NULL && (token = underlying()) != NULL) {
        own = *token;
        own.C_GetFunctionList = C_GetFunctionList;
        own.C_Initialize = initialize;
        own.C_Finalize = finalize;
        own.C_GetMechanismList = mechanism_list;
        own.C_GetMechanismInfo = mechanism_info;
        own.C_CloseSession = close_session;
        own.C_CloseAllSessions = close_all_sessions;
        own.C_SignInit = sign_init;
        own.C_Sign = sign;
        own.C_SignUpdate = sign_update;
        own.C_SignFinal = sign_final;
        own.C_EncryptInit = encrypt_init;
        own.C_Encrypt = encrypt;
        own.C_EncryptUpdate = encrypt_update;
        own.C_EncryptFinal = encrypt_final;
    }
    pthread_mutex_unlock(&lock);
    if (token == NULL) return CKR_GENERAL_ERROR;
    *list = &own;
    return CKR_OK;
}
