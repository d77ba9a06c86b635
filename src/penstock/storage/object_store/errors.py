"""What went wrong at an object store, from the client's exception to Penstock's, without what may hold keys."""

from __future__ import annotations

import re

from penstock.base.errors import Denied, PenstockError, Unavailable

_CREDENTIALS = re.compile(r"//[^/\s@]+@")
_REASON = re.compile(r"<(?:\?xml|Error)\b.*?<Code>([^<]+)</Code>.*")  # S3's, Azure's and Google's own word
_QUERY = re.compile(r"\?[^\s)\"']+")
_NO_PLACE = {"NoSuchBucket", "ContainerNotFound"}
_MACHINE_CREDENTIALS = "//169.254.169.254/"  # what a cloud's own machines are asked, last of all
_REFUSED = ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId")


def said(error: Exception) -> str:
    """Return what obstore says, without its debugging output and without what may hold keys in URLs."""
    text = _plain(error)
    if reason := _REASON.search(text):
        text = f"{text[: reason.start()]}{reason[1]}"
    return _CREDENTIALS.sub("//", _QUERY.sub("?…", text))[:300]


def _plain(error: Exception) -> str:
    return " ".join(str(error).partition("Debug source:")[0].split())


def is_place_missing(error: Exception) -> bool:
    """Say whether the store's answer is that there is no such bucket; an answer without a body says nothing."""
    reason = _REASON.search(_plain(error))
    return reason is not None and reason[1] in _NO_PLACE


def is_not_allowed(error: Exception) -> bool:
    """Say whether a server refused the method (405), which the client does not tell from nothing being there."""
    return "status code: 405" in _plain(error)


def no_place(url: str) -> Unavailable:
    """Make the error for a bucket that does not exist."""
    return Unavailable(
        f"the bucket of {url} does not exist",
        code="storage.no_bucket",
        hint="make the bucket, or change the URL: penstock remote modify NAME url URL",
        url=url,
    )


def failure(error: Exception, url: str, key: str, *, is_denied: bool, lack: str = "") -> PenstockError:
    """Make the error for everything but an object that is not there; `is_denied` is the client's own judgement.

    `lack` says why the remote's settings have no credentials, where that is known.
    """
    text = said(error)
    place, name = (f"{url}: {lack}", f"{key}: {lack}") if lack else (url, key)
    if _MACHINE_CREDENTIALS in text:
        return Denied(
            f"no credentials were found for {place}",
            code="storage.no_credentials",
            hint=(
                "they are looked for in the remote (penstock remote modify --local NAME access_key_id KEY, and"
                " secret_access_key), in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and in ~/.aws/credentials;"
                " for those of a role or of sso: aws configure export-credentials --format env"
            ),
            url=url,
        )
    if is_denied or any(word in text for word in _REFUSED):
        return Denied(
            f"{url} refused the credentials for {name}",
            code="storage.denied",
            hint="check the remote's keys: penstock config -l",
            key=key,
        )
    if is_place_missing(error):
        return no_place(url)
    return Unavailable(
        f"{url} failed on {key}: {text}",
        code="storage.unavailable",
        hint="check that the remote can be reached, then run the same command again",
        key=key,
    )
