"""Name the texts; `{...}` in a text are its parameters, the same in both languages."""

from typing import TypedDict


class Texts(TypedDict):
    """Hold one language."""

    # the frame of every command
    root: str
    usage: str
    options: str
    commands: str
    examples: str
    help_option: str
    version_option: str
    json_option: str
    config_option: str
    error: str
    see_help: str
    no_such_option: str
    no_such_command: str
    did_you_mean: str
    missing_argument: str
    option_needs_value: str
    bad_value: str
    cannot_read: str
    cannot_write: str
    # settings that cannot be used
    setting_unknown_key: str
    setting_unknown_section: str
    setting_wrong_value: str
    setting_not_toml: str
    setting_no_file: str
    setting_dev_only_flag: str
    setting_dev_loopback: str
    expect_whole: str
    expect_number: str
    expect_switch: str
    expect_text: str
    expect_list: str
    expect_choice: str
    expect_range: str
    expect_at_least: str
    # version
    version: str
    # config
    config: str
    config_show: str
    config_changed: str
    config_check: str
    config_all_default: str
    config_good: str
    config_problems: str
    config_closed: str
    config_no_keys: str
    config_half_tls: str
    config_no_algorithm: str
    config_namespace_slash: str
    config_memory_workers: str
    config_file_missing: str
    config_keys_line: str
    # token
    token: str
    token_create: str
    token_user: str
    token_scope: str
    token_subscribe: str
    token_publish: str
    token_info: str
    token_ttl: str
    token_secret_file: str
    token_new_secret: str
    token_private_key: str
    token_api: str
    token_name: str
    token_keys_file: str
    token_show: str
    token_no_secret: str
    token_secret_short: str
    token_key_bad: str
    token_no_user: str
    token_ttl_bad: str
    token_info_bad: str
    token_name_bad: str
    token_name_taken: str
    token_hash_line: str
    token_hash_added: str
    token_malformed: str
    token_unchecked: str
    token_checked: str
    token_refused: str
    token_expires: str
    token_expired: str
    token_forever: str
