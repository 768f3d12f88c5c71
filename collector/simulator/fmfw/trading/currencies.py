"""The answer of `/public/currency`: enough of it, in the real shapes, for clients that load it first."""

from typing import Any


def listing(code: str) -> dict[str, Any]:
    """Give one currency with one network."""
    return {
        "full_name": code.capitalize(),
        "crypto": True,
        "payin_enabled": True,
        "payout_enabled": True,
        "transfer_enabled": True,
        "transfer_to_wallet_enabled": True,
        "transfer_to_exchange_enabled": True,
        "sign": code[:1],
        "qr_prefix": code.lower(),
        "crypto_payment_id_name": "",
        "crypto_explorer": "",
        "precision_transfer": "0.00000001",
        "delisted": False,
        "stable": code in ("USDT", "USDC"),
        "networks": [
            {
                "code": code,
                "network_name": code.capitalize(),
                "network": code,
                "protocol": "",
                "default": True,
                "is_ens_available": False,
                "payin_enabled": True,
                "payout_enabled": True,
                "precision_payout": "0.00000001",
                "payout_fee": "0.0005",
                "payout_is_payment_id": False,
                "payin_payment_id": False,
                "payin_confirmations": 2,
                "low_processing_time": "0.5",
                "high_processing_time": "12.25",
                "avg_processing_time": "3.1",
                "is_multichain": False,
            }
        ],
    }
