"""Ledger's Python client at the emulator's HTTP API: reads a task from stdin, prints what came.

A task is {"url", "policy": {"name", "template", "keys"}, "path", "places", "psbt", "message"}; the
answer has what each call of the client returned, and the name of a refusal's error.
"""

import json
import sys
import urllib.request

from ledger_bitcoin import Chain, TransportClient, WalletPolicy, createClient
from ledger_bitcoin.client_base import ApduException


class HttpTransport(TransportClient):
    """APDUs as Speculos' API takes them."""

    def __init__(self, url):
        # The parent would open a socket or a USB device.
        self.url = url

    def apdu_exchange(self, cla, ins, data=b"", p1=0, p2=0):
        apdu = bytes([cla, ins, p1, p2, len(data)]) + data
        body = json.dumps({"data": apdu.hex()}).encode()
        with urllib.request.urlopen(f"{self.url}/apdu", body) as response:
            answer = bytes.fromhex(json.load(response)["data"])
        status = int.from_bytes(answer[-2:], "big")
        if status != 0x9000:
            raise ApduException(status, answer[:-2])
        return answer[:-2]

    def stop(self):
        pass


def refusal(call):
    """The name of the error that a refused call raises: the client has one for each status word."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None


def main():
    task = json.load(sys.stdin)
    client = createClient(HttpTransport(task["url"]), chain=Chain.TEST)
    names = task["policy"]
    policy = WalletPolicy(names["name"], names["template"], names["keys"])
    wallet_id, hmac = client.register_wallet(policy)
    signatures = client.sign_psbt(task["psbt"], policy, hmac)
    wrong = bytes(byte ^ 1 for byte in hmac)
    answer = {
        "fingerprint": client.get_master_fingerprint().hex(),
        "xpub": client.get_extended_pubkey(task["path"]),
        "id": wallet_id.hex(),
        "hmac": hmac.hex(),
        "addresses": [
            client.get_wallet_address(policy, hmac, change, index, False)
            for change, index in task["places"]
        ],
        "signatures": [
            {
                "input": index,
                "pubkey": partial.pubkey.hex(),
                "leaf": partial.tapleaf_hash.hex(),
                "signature": partial.signature.hex(),
            }
            for index, partial in signatures
        ],
        "message": client.sign_message(task["message"], f"{task['path']}/0/0"),
        "refusal": refusal(lambda: client.get_wallet_address(policy, wrong, 0, 0, False)),
    }
    json.dump(answer, sys.stdout)


main()
