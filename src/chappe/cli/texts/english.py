"""The texts in English."""

from chappe.cli.texts.keys import Texts

ENGLISH: Texts = {
    # the frame of every command
    "root": "Realtime hub: one process, one port, every client in the same channels.",
    "usage": "Usage",
    "options": "Options",
    "commands": "Commands",
    "examples": "Examples:",
    "help_option": "Show this message and exit.",
    "version_option": "Show the version and exit.",
    "json_option": "Print JSON for programs.",
    "config_option": "Configuration file; chappe.toml of this directory if it is there.",
    "error": "Error: {text}",
    "see_help": "{text} (see '{command} --help')",
    "no_such_option": "no option {option}",
    "no_such_command": "no command {name!r}",
    "did_you_mean": "{text}, did you mean {suggestion}?",
    "missing_argument": "{name} is missing",
    "option_needs_value": "{option} needs a value",
    "bad_value": "{name}: expected {expected}",
    "cannot_read": "{path} cannot be read: {reason}",
    "cannot_write": "{path} cannot be written: {reason}",
    # settings that cannot be used
    "setting_unknown_key": "{where}: {name} is not a setting",
    "setting_unknown_section": "{where}: [{section}] is not a section",
    "setting_wrong_value": "{where}: {name} = {value}, expected {expected}",
    "setting_not_toml": "{where}: not a TOML file: {value}",
    "setting_no_file": "{where}: cannot be read: {value}",
    "setting_dev_only_flag": "{where}: {name} cannot be set here, only --dev on the command line turns it on",
    "setting_dev_loopback": "{where}: --dev serves this machine only, expected a loopback address, got {value}",
    "expect_whole": "a whole number",
    "expect_number": "a number",
    "expect_switch": "true or false",
    "expect_text": "text",
    "expect_list": "a list of texts",
    "expect_choice": "one of {choices}",
    "expect_range": "{kind} from {low:g} to {high:g}",
    "expect_at_least": "{kind} of at least {low:g}",
    # version
    "version": "Show the versions of Chappe and of what it runs on.",
    # config
    "config": "Show or check the configuration.",
    "config_show": "Show every setting and where its value came from; secrets are hidden.",
    "config_changed": "Only settings that differ from their default.",
    "config_check": "Check the configuration, including the files it names.",
    "config_all_default": "every setting has its default",
    "config_good": "the configuration is good",
    "config_problems": "{count} problem(s) found; correct them and run 'chappe config check' again",
    "config_closed": (
        "nobody may subscribe or publish: add [namespaces.<name>] with subscribe and publish, or try 'chappe "
        "serve --dev'"
    ),
    "config_no_keys": (
        "tokens are needed but no key verifies them: set auth.hmac_secret_file, auth.public_keys or auth.jwks_url"
    ),
    "config_half_tls": "server.cert and server.key belong together: set both or none",
    "config_no_algorithm": 'auth.hmac_secret_file needs "HS256" in auth.algorithms',
    "config_namespace_slash": (
        "namespaces.{name}: a namespace is one segment of a channel name, without '/', '+' or '#'"
    ),
    "config_memory_workers": "server.workers = {workers} needs a broker that processes share, memory:// is for one",
    "config_file_missing": "{name}: {path} cannot be read: {reason}",
    "config_keys_line": "api.keys_file: line {line} is not name:sha256hex; make keys with 'chappe token create --api'",
    # token
    "token": "Make and read tokens and API keys.",
    "token_create": "Make a token for a user, or with --api a key for a backend.",
    "token_user": "User the token is for (claim sub).",
    "token_scope": "Right beyond channels: api, operator, service:NAME; may be repeated.",
    "token_subscribe": "Pattern the bearer may subscribe to; may be repeated; without it the namespace decides.",
    "token_publish": "Pattern the bearer may publish to; may be repeated; without it the namespace decides.",
    "token_info": "JSON shown to others in presence.",
    "token_ttl": "How long it is good for: 90s, 30m, 12h, 7d.",
    "token_secret_file": "File with the shared secret (HS256); by default auth.hmac_secret_file of the configuration.",
    "token_new_secret": "Make the secret file (256 random bits) if it does not exist.",
    "token_private_key": "File with a private key in PEM (Ed25519, ECDSA or RSA) that signs instead of a secret.",
    "token_api": "Make an API key instead; it is printed once and only its hash is kept.",
    "token_name": "Name of the API key, as logs show it.",
    "token_keys_file": "File the hash of the API key is added to; by default api.keys_file of the configuration.",
    "token_show": "Show what a token says; '-' reads it from standard input.",
    "token_no_secret": (
        "nothing to sign with: give --secret-file FILE (with --new-secret to make it) or --private-key FILE"
    ),
    "token_secret_short": "the secret in {path} has {length} bytes, expected at least 32; make one with --new-secret",
    "token_key_bad": "{path} is not a private key in PEM: {reason}",
    "token_no_user": "--user is missing; a token without a user needs --scope",
    "token_ttl_bad": "--ttl {value!r} is no duration, expected 90s, 30m, 12h or 7d",
    "token_info_bad": "--info is not JSON: {reason}",
    "token_name_bad": "--name {name!r}: expected letters, digits, '.', '_' or '-'",
    "token_name_taken": "{path} has a key named {name!r}; choose another --name or remove its line",
    "token_hash_line": "Add this line to the file that api.keys_file names: {line}",
    "token_hash_added": "Its hash is in {path}; the key itself is shown only now.",
    "token_malformed": "this is not a token: {reason}",
    "token_unchecked": "signature not checked; give --secret-file to check it",
    "token_checked": "signature good",
    "token_refused": "this token would be refused: {reason}",
    "token_expires": "expires {when}",
    "token_expired": "expired {when}",
    "token_forever": "never expires, so the hub refuses it",
}
