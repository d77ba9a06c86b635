"""The sections, options and kinds of values of DVC's configuration; `penstock.data.configuration.values` judges by them.

Source: dvc/config_schema.py (3.67); `tests/compat/dvc/test_configuration.py` compares the two.
"""

from __future__ import annotations

SECTIONS = {
    "core": "analytics autostage check_update checksum_jobs experiments hardlink_lock interactive machine "
    "no_scm remote site_cache_dir",
    "cache": "azure dir gs hdfs local protected s3 shared slow_link_warning ssh type verify webhdfs",
    "state": "dir row_cleanup_quota row_limit",
    "index": "dir",
    "plots": "auto_open html_template out_dir",
    "exp": "auto_push code data git_remote live metrics models params plots",
    "parsing": "bool list",
    "hydra": "config_dir config_module config_name enabled plugins_path",
    "studio": "offline repo_url token url",
    "feature": "machine data_index_cache push_exp_to_git_remote",
}
LENIENT = "feature"  # DVC reads over what it does not know there
NAMED = {  # sections called `db "name"`; those of remotes have tables of their own
    "db": "password url username",
    "machine": "cloud image instance_gpu instance_hdd_size instance_type region setup_script spot spot_price "
    "ssh_private startup_script",
}
_COMMON = "checksum_jobs jobs no_traverse url version_aware worktree "
_HTTP = (
    _COMMON + "ask_password auth connect_timeout custom_auth_header method password read_timeout ssl_verify "
    "user verify"
)
_WEBDAV = (
    _COMMON + "ask_password bearer_token_command cert_path custom_auth_header key_path password ssl_verify "
    "timeout token user verify"
)
REMOTES = {  # by the URL's scheme; "" is a directory
    "": _COMMON + "protected shared slow_link_warning type verify",
    "s3": _COMMON + "access_key_id acl allow_anonymous_login cache_regions configpath connect_timeout "
    "credentialpath endpointurl grant_full_control grant_read grant_read_acp grant_write_acp listobjects "
    "profile read_timeout region secret_access_key session_token sse sse_customer_algorithm sse_customer_key "
    "sse_kms_key_id ssl_verify use_ssl verify",
    "gs": _COMMON + "allow_anonymous_login credentialpath endpointurl projectname verify",
    "ssh": _COMMON + "allow_agent ask_passphrase ask_password gss_auth keyfile max_sessions passphrase "
    "password port timeout type user verify",
    "hdfs": _COMMON + "kerb_ticket replication user",
    "webhdfs": _COMMON + "data_proxy_target kerberos kerberos_principal password proxy_to ssl_verify token "
    "use_https user verify",
    "azure": _COMMON + "account_key account_name allow_anonymous_login client_id client_secret "
    "connection_string connection_timeout exclude_environment_credential "
    "exclude_managed_identity_credential exclude_shared_token_cache_credential "
    "exclude_visual_studio_code_credential read_timeout sas_token tenant_id timeout verify",
    "oss": _COMMON + "oss_endpoint oss_key_id oss_key_secret verify",
    "gdrive": _COMMON + "gdrive_acknowledge_abuse gdrive_client_id gdrive_client_secret "
    "gdrive_service_account_json_file_path gdrive_service_account_user_email gdrive_trash_only "
    "gdrive_use_service_account gdrive_user_credentials_file profile verify",
    "http": _HTTP,
    "https": _HTTP,
    "webdav": _WEBDAV,
    "webdavs": _WEBDAV,
}
ALIAS = "remote"  # the scheme of a URL that names another remote: its keys are those of any
BOOLEANS = frozenset(
    {f"core.{key}" for key in ("analytics", "autostage", "check_update", "hardlink_lock", "no_scm")}
    | {"core.interactive", "cache.protected", "cache.slow_link_warning", "exp.auto_push", "hydra.enabled"}
)
REMOTE_BOOLEANS = frozenset(
    [
        "allow_agent",
        "allow_anonymous_login",
        "ask_passphrase",
        "ask_password",
        "exclude_environment_credential",
        "exclude_managed_identity_credential",
        "exclude_shared_token_cache_credential",
        "exclude_visual_studio_code_credential",
        "gdrive_acknowledge_abuse",
        "gdrive_trash_only",
        "gdrive_use_service_account",
        "gss_auth",
        "kerberos",
        "listobjects",
        "no_traverse",
        "protected",
        "slow_link_warning",
        "use_https",
        "use_ssl",
        "verify",
        "version_aware",
        "worktree",
    ]
)
AUTH = ("basic", "digest", "custom")
COUNTS = frozenset({"jobs", "checksum_jobs"})  # whole numbers from 1
NUMBERS = frozenset({"connection_timeout", "max_sessions", "port", "timeout"})
SECONDS = frozenset({"connect_timeout", "read_timeout"})  # with a fraction only for a web server
