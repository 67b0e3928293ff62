"""One request on its way through all checks: what is seen, what is proven, and what time and address say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware._core.urls import MAX_URL
from cfgate_middleware._explain import policies, shapes, variations
from cfgate_middleware._explain.conditions import add_too_long, check_address, check_times
from cfgate_middleware._explain.findings import Certainty, Report, masked, masked_host, masked_id
from cfgate_middleware._explain.malformed import check_policy
from cfgate_middleware._explain.policies import Change, Hypothesis
from cfgate_middleware._explain.reading import Reading
from cfgate_middleware._explain.signatures import MAX_HYPOTHESES, Proof, Prover, is_der
from cfgate_middleware._keys.pem import PublicKey
from cfgate_middleware.verify import mismatch

_MAX_COVERING = 150  # changes of a URL that are tried on a custom policy
_CURES = {
    "spelling": "sign exactly the bytes that are sent: encode first, sign second",
    "query-spelling": "sign exactly the bytes that are sent: encode first, sign second",
    "query-changed": "sign the URL with its whole query and change nothing after, or sign a Resource that ends in *",
    "browser-rewrites": "sign what is sent: percent-encode the characters that browsers change",
    "dot-segments": "sign a path without . and .. segments: browsers fold them",
    "scheme": "sign the scheme that the viewer uses, which is https if the distribution redirects to it",
    "host": "sign the host that the viewer requests, without a port",
    "s3-host": "sign the distribution's host, not the bucket's",
    "milliseconds": "sign and send the same number of whole seconds",
    "json": "sign exactly the policy that CloudFront rebuilds, without white space, or send the policy as Policy",
}


class Case:
    """One request and what is known about it."""

    def __init__(
        self,
        reading: Reading,
        report: Report,
        keys: Mapping[str, PublicKey],
        hosts: list[str],
        now: float,
        viewer_address: str | None,
    ) -> None:
        self._reading, self._report, self._keys, self._hosts, self._now = reading, report, keys, hosts, now
        self._viewer_address = viewer_address
        if reading.source and not reading.host and hosts:
            reading.scheme, reading.host = "https", hosts[0]
        self._most = MAX_HYPOTHESES
        self._key_pair_id = reading.get("Key-Pair-Id").value.strip()[:64]

    def check(self) -> bool:
        """Add all findings and facts; return whether the request is verified."""
        reading, report = self._reading, self._report
        if renamed := reading.rename() if reading.source != "cookies" else []:
            names = masked(", ".join(renamed))
            report.add(
                Certainty.SURE,
                "name-case",
                f"parameters have other names than CloudFront's: {names}",
                "write them exactly so",
            )
            self._key_pair_id = reading.get("Key-Pair-Id").value.strip()[:64]
        self._add_object()
        if not shapes.check_origin(reading, report):
            return False
        length = len(reading.url) + sum(len(name) + len(reading.get(name).value) + 2 for name in reading.names)
        if reading.source == "url" and length > MAX_URL:
            add_too_long(report, length)
            self._most = 1
        if reading.source == "url" and not reading.host:
            report.add(
                Certainty.LIKELY,
                "host",
                "the text has no host, which is a part of what is signed",
                "give the whole URL",
            )
        shapes.check_items(reading, report)
        return self._check_custom() if "Policy" in reading.names else self._check_canned()

    def _add_object(self) -> None:
        reading, report = self._reading, self._report
        host = masked_host(reading.host)
        report.fact("object", (f"{reading.scheme}://{host}" if host else "") + masked(reading.path))
        if reading.own:
            report.fact("own query", masked("&".join(reading.own)))
        if reading.source == "cookies":
            report.fact("cookies", ", ".join(f"CloudFront-{name}" for name in reading.names))

    def _check_canned(self) -> bool:
        reading = self._reading
        end = shapes.check_expires(reading, self._report)
        self._report.fact("form", "canned policy (this one URL, until Expires)")
        self._add_key()
        is_verified = self._verify(self._canned_hypotheses(end)) if end else self._verify(iter(()))
        if end:
            check_times(self._report, self._now, int(end), None)
        return is_verified

    def _canned_hypotheses(self, end: str) -> Iterator[Hypothesis]:
        reading, parts = self._reading, self._parts(end)
        yield Hypothesis((), policies.canned(parts.url, end))
        every = variations.hypotheses(
            parts,
            [*self._changes(self._all_hosts()), variations.end_changes(end)],
            policies.shape_changes(self._viewer_address or "127.0.0.1"),
        )
        if reading.has_host and (pasted := "".join(reading.as_pasted)) != reading.url:
            change = Change(
                _rewriting(reading), "the URL was signed as it is in the text, but it is sent otherwise", pasted
            )
            yield Hypothesis((change,), policies.canned(pasted, end))
        yield from (one for one in every if one.changes)

    def _parts(self, end: str) -> variations.Parts:
        reading = self._reading
        query = f"?{'&'.join(reading.own)}" if reading.own else ""
        return variations.Parts(f"{reading.scheme or 'https'}://", reading.host, reading.path, query, end)

    def _changes(self, hosts: list[str]) -> list[list[Change]]:
        reading = self._reading
        scheme = reading.scheme or "https"
        return [
            variations.scheme_changes(scheme),
            variations.host_changes(scheme, reading.host, hosts),
            variations.path_changes(reading.path),
            variations.query_changes(reading.own),
        ]

    def _all_hosts(self) -> list[str]:
        return [host for host in dict.fromkeys(self._hosts) if host and host != self._reading.host]

    def _check_custom(self) -> bool:
        reading, report = self._reading, self._report
        decoded = shapes.read_base64(reading, "Policy", report)
        report.fact("form", "custom policy")
        self._add_key()
        policy = check_policy(decoded[0].data, report) if decoded else None
        if policy:
            self._add_policy(policy)
        encoded = reading.get("Policy")
        is_verified = self._verify(one for data in decoded[:1] for one in policies.rewritten(data.data, encoded))
        if policy:
            self._check_coverage(policy)
            check_times(report, self._now, policy.end, policy.start)
            is_verified = check_address(report, policy, self._viewer_address) and is_verified
        return is_verified

    def _add_key(self) -> None:
        key = self._keys.get(self._key_pair_id)
        marker = self._reading.get("Hash-Algorithm").value or "SHA1"
        shown = "no id" if shapes.ID_CODES & set(self._report.codes) else masked_id(self._key_pair_id)
        hash_name = marker if marker in ("SHA1", "SHA256") else "unknown hash algorithm"
        self._report.fact("key", ", ".join([shown, *([key.kind] if key else []), hash_name]))

    def _add_policy(self, policy: CustomPolicy) -> None:
        self._report.fact("covers", masked(policy.resource.partition("?")[0]))
        if policy.ip_address:
            self._report.fact("viewers", policy.ip_address)

    def _verify(self, hypotheses: Iterator[Hypothesis]) -> bool:
        """Add what the signature proves; return whether it is right as it stands."""
        reading, report = self._reading, self._report
        readings = shapes.read_base64(reading, "Signature", report)
        if readings:
            self._check_length([len(one.data.value) for one in readings], any(is_der(one.data) for one in readings))
        if not readings or not self._keys:
            return False
        marker = reading.get("Hash-Algorithm").value or "SHA1"
        if not reading.host and reading.source == "url" and "Policy" not in reading.names and not self._hosts:
            return False
        proof = Prover(readings, self._keys, self._key_pair_id, marker).prove(islice(hypotheses, self._most))
        if proof is None:
            self._add_unproven()
            return False
        return self._add_proof(proof, marker)

    def _check_length(self, lengths: list[int], is_ecdsa: bool) -> None:
        if 64 in lengths and not is_ecdsa:
            self._add_form("raw-ecdsa", Certainty.SURE)
        elif not is_ecdsa and not {128, 256, 512} & set(lengths):
            self._report.add(
                Certainty.SURE,
                "alphabet",
                f"the signature has {lengths[0]} bytes, where RSA makes 256 and ECDSA about 71 (DER): it is cut",
                "keep all of the signature, up to its last _",
            )

    def _add_form(self, form: str, certainty: Certainty) -> None:
        text, cure = {
            "raw-ecdsa": (
                "the ECDSA signature is raw (r and s, 64 bytes) instead of DER",
                "use DER: in Node.js dsaEncoding 'der'; with WebCrypto or JOSE convert it",
            ),
            "pss": ("the RSA signature is PSS", "sign with PKCS #1 v1.5: RSASSA_PKCS1_V1_5_SHA_256"),
        }[form]
        self._report.add(certainty, form, text, cure)

    def _add_unproven(self) -> None:
        if self._keys.get(self._key_pair_id) is None:
            known = next((name for name in self._keys if name.lower() == self._key_pair_id.lower()), None)
            more = f"; it differs from {known} in letter case" if known else ""
            self._report.add(
                Certainty.SURE,
                "unknown-key",
                f"the key pair id is not among the public keys given{more} (CloudFront says InvalidKey)",
                "put the public key into the behaviour's key group, and keep it there until the last URL has expired",
            )
            return
        if {"no-expires", "alphabet", "malformed-policy"} & set(self._report.codes):
            return
        self._report.add(
            Certainty.LAST,
            "bad-signature",
            "the signature is not this key's over this URL, time or policy, and no known mistake explains it",
            "check that the private key belongs to this public key, and that nothing changes the URL after signing",
        )

    def _add_proof(self, proof: Proof, marker: str) -> bool:
        report = self._report
        proven = Certainty.PROVEN
        changes = proof.hypothesis.changes if proof.hypothesis else ()
        for change in changes:
            report.add(proven, change.code, change.text, _CURES[change.code])
        if proof.form:
            self._add_form(proof.form, proven)
        if (proof.key_pair_id, proof.hash_algorithm) != (self._key_pair_id, marker):
            kind = self._keys[proof.key_pair_id].kind
            report.fact("signed by", f"{proof.key_pair_id}, {kind}, {proof.hash_algorithm}")
        if proof.key_pair_id != self._key_pair_id and not shapes.ID_CODES & set(report.codes):
            report.add(
                proven,
                "wrong-key-id",
                f"the signature was made with the private key of {proof.key_pair_id}, but the id is another",
                f"write Key-Pair-Id={proof.key_pair_id}, or sign with the other private key",
            )
        if proof.hash_algorithm != marker and "hash-name" not in report.codes:
            text, cure = (
                ("it was signed with SHA-256, but Hash-Algorithm=SHA256 is missing", "append Hash-Algorithm=SHA256")
                if marker == "SHA1"
                else ("it was signed with SHA-1, but Hash-Algorithm says SHA256", "leave Hash-Algorithm out")
            )
            report.add(proven, "hash-marker", text, f"{cure}, or sign with the other hash algorithm")
        if proof.hypothesis is None:
            report.add(
                Certainty.LAST,
                "bad-signature",
                f"the signature is {proof.key_pair_id}'s, but over another URL, time or policy than this one",
                "compare the URL that was signed with the one that arrives, byte by byte",
            )
        is_as_given = not changes and not proof.form and proof.key_pair_id == self._key_pair_id
        return is_as_given and proof.hypothesis is not None and proof.hash_algorithm == marker

    def _check_coverage(self, policy: CustomPolicy) -> None:
        reading = self._reading
        if not reading.host or not (section := mismatch(policy.resource, reading.url)):
            return
        changes = self._covering(policy.resource)
        for change in changes:
            self._report.add(Certainty.PROVEN, change.code, change.text, _CURES[change.code])
        if not changes:
            self._report.add(
                Certainty.SURE,
                "not-covered",
                f"the policy does not cover the URL's {section}: it covers {masked(policy.resource.partition('?')[0])}",
                "sign a Resource that covers every file of the page or film: a directory and *",
            )

    def _covering(self, resource: str) -> list[Change]:
        """Return the changes after which a policy covers the URL."""
        reading = self._reading
        if (
            (pasted := "".join(reading.as_pasted)) != reading.url
            and reading.has_host
            and not mismatch(resource, pasted)
        ):
            text = "the policy was made for the URL as it is in the text, but it is sent otherwise"
            return [Change(_rewriting(reading), text, "")]
        hosts = [re.sub(r"\A[a-z*]+://", "", resource).partition("/")[0][:255], *self._all_hosts()]
        schemes, *others = self._changes(hosts)
        parts = self._parts("")
        for chosen in islice(variations.combined([schemes[:1], *others]), min(self._most, _MAX_COVERING)):
            if not mismatch(resource, variations.changed(parts, chosen).url):
                return [change for _, change in chosen if isinstance(change, Change)]
        return []


def _rewriting(reading: Reading) -> str:
    path = reading.as_pasted[1].replace("\\", "/").lower().replace("%2e", ".")
    return "dot-segments" if re.search(r"/\.{1,2}(?:/|\Z)", path) else "browser-rewrites"
