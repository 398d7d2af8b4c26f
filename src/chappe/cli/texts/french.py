"""Les textes en français."""

from chappe.cli.texts.keys import Texts

FRENCH: Texts = {
    # the frame of every command
    "root": "Serveur temps réel : un processus, un port, tous les clients dans les mêmes canaux.",
    "usage": "Utilisation",
    "options": "Options",
    "commands": "Commandes",
    "examples": "Exemples :",
    "help_option": "Affiche ce message et quitte.",
    "version_option": "Affiche la version et quitte.",
    "json_option": "Écrit du JSON pour les programmes.",
    "config_option": "Fichier de configuration ; chappe.toml de ce répertoire s'il existe.",
    "error": "Erreur : {text}",
    "see_help": "{text} (voir « {command} --help »)",
    "no_such_option": "option inconnue {option}",
    "no_such_command": "commande inconnue {name!r}",
    "did_you_mean": "{text}, vouliez-vous dire {suggestion} ?",
    "missing_argument": "{name} manque",
    "option_needs_value": "{option} demande une valeur",
    "bad_value": "{name} : attendu {expected}",
    "cannot_read": "{path} ne peut pas être lu : {reason}",
    "cannot_write": "{path} ne peut pas être écrit : {reason}",
    # settings that cannot be used
    "setting_unknown_key": "{where} : {name} n'est pas un réglage",
    "setting_unknown_section": "{where} : [{section}] n'est pas une section",
    "setting_wrong_value": "{where} : {name} = {value}, attendu {expected}",
    "setting_not_toml": "{where} : n'est pas un fichier TOML : {value}",
    "setting_no_file": "{where} : ne peut pas être lu : {value}",
    "setting_dev_only_flag": "{where} : {name} ne se règle pas ici, seul --dev sur la ligne de commande l'active",
    "setting_dev_loopback": "{where} : --dev ne sert que cette machine, attendu une adresse de bouclage, reçu {value}",
    "expect_whole": "un nombre entier",
    "expect_number": "un nombre",
    "expect_switch": "true ou false",
    "expect_text": "du texte",
    "expect_list": "une liste de textes",
    "expect_choice": "l'un de {choices}",
    "expect_range": "{kind} de {low:g} à {high:g}",
    "expect_at_least": "{kind} d'au moins {low:g}",
    # version
    "version": "Affiche les versions de Chappe et de ce sur quoi il tourne.",
    # config
    "config": "Affiche ou vérifie la configuration.",
    "config_show": "Affiche chaque réglage et l'origine de sa valeur ; les secrets sont cachés.",
    "config_changed": "Seulement les réglages qui diffèrent de leur valeur par défaut.",
    "config_check": "Vérifie la configuration, y compris les fichiers qu'elle nomme.",
    "config_all_default": "tous les réglages ont leur valeur par défaut",
    "config_good": "la configuration est bonne",
    "config_problems": "{count} problème(s) trouvé(s) ; corrigez puis relancez « chappe config check »",
    "config_closed": (
        "personne ne peut s'abonner ni publier : ajoutez [namespaces.<nom>] avec subscribe et publish, ou "
        "essayez « chappe serve --dev »"
    ),
    "config_no_keys": (
        "des jetons sont exigés mais aucune clé ne les vérifie : réglez auth.hmac_secret_file, "
        "auth.public_keys ou auth.jwks_url"
    ),
    "config_half_tls": "server.cert et server.key vont ensemble : réglez les deux ou aucun",
    "config_no_algorithm": 'auth.hmac_secret_file demande "HS256" dans auth.algorithms',
    "config_namespace_slash": (
        "namespaces.{name} : un espace de noms est un segment de nom de canal, sans « / », « + » ni « # »"
    ),
    "config_memory_workers": (
        "server.workers = {workers} demande un broker partagé entre processus, memory:// n'en sert qu'un"
    ),
    "config_file_missing": "{name} : {path} ne peut pas être lu : {reason}",
    "config_keys_line": (
        "api.keys_file : la ligne {line} n'est pas nom:sha256hex ; créez les clés avec « chappe token create --api »"
    ),
    # token
    "token": "Crée et lit des jetons et des clés d'API.",
    "token_create": "Crée un jeton pour un utilisateur, ou avec --api une clé pour un programme.",
    "token_user": "Utilisateur du jeton (champ sub).",
    "token_scope": "Droit hors des canaux : api, operator, service:NOM ; répétable.",
    "token_subscribe": "Motif auquel le porteur peut s'abonner ; répétable ; sans lui l'espace de noms décide.",
    "token_publish": "Motif où le porteur peut publier ; répétable ; sans lui l'espace de noms décide.",
    "token_info": "JSON montré aux autres dans la présence.",
    "token_ttl": "Durée de validité : 90s, 30m, 12h, 7d.",
    "token_secret_file": "Fichier du secret partagé (HS256) ; par défaut auth.hmac_secret_file de la configuration.",
    "token_new_secret": "Crée le fichier du secret (256 bits aléatoires) s'il n'existe pas.",
    "token_private_key": "Fichier d'une clé privée PEM (Ed25519, ECDSA ou RSA) qui signe au lieu d'un secret.",
    "token_api": "Crée plutôt une clé d'API ; elle est affichée une fois et seule son empreinte est gardée.",
    "token_name": "Nom de la clé d'API, tel que les journaux le montrent.",
    "token_keys_file": "Fichier où ajouter l'empreinte de la clé ; par défaut api.keys_file de la configuration.",
    "token_show": "Montre ce que dit un jeton ; « - » le lit sur l'entrée standard.",
    "token_no_secret": (
        "rien pour signer : donnez --secret-file FICHIER (avec --new-secret pour le créer) ou --private-key FICHIER"
    ),
    "token_secret_short": "le secret de {path} a {length} octets, attendu au moins 32 ; créez-en un avec --new-secret",
    "token_key_bad": "{path} n'est pas une clé privée PEM : {reason}",
    "token_no_user": "--user manque ; un jeton sans utilisateur demande --scope",
    "token_ttl_bad": "--ttl {value!r} n'est pas une durée, attendu 90s, 30m, 12h ou 7d",
    "token_info_bad": "--info n'est pas du JSON : {reason}",
    "token_name_bad": "--name {name!r} : attendu lettres, chiffres, « . », « _ » ou « - »",
    "token_name_taken": "{path} a déjà une clé nommée {name!r} ; choisissez un autre --name ou retirez sa ligne",
    "token_hash_line": "Ajoutez cette ligne au fichier que nomme api.keys_file : {line}",
    "token_hash_added": "Son empreinte est dans {path} ; la clé elle-même n'est montrée que maintenant.",
    "token_malformed": "ce n'est pas un jeton : {reason}",
    "token_unchecked": "signature non vérifiée ; donnez --secret-file pour la vérifier",
    "token_checked": "signature bonne",
    "token_refused": "ce jeton serait refusé : {reason}",
    "token_expires": "expire {when}",
    "token_expired": "expiré {when}",
    "token_forever": "n'expire jamais, le serveur le refuse donc",
    "token_password": (
        "Calcule l'empreinte d'un mot de passe pour users.<nom>.password_hash ; le demande, ou lit l'entrée standard."
    ),
    "token_password_prompt": "Mot de passe",
    "token_password_empty": "le mot de passe est vide",
    # doctor
    "doctor": "Vérifie cette machine et la configuration, et dit quoi faire de ce qui ne va pas.",
    "doctor_url": "Serveur à joindre aussi, par exemple http://127.0.0.1:8080.",
    "doctor_good": "tout le nécessaire est en place",
    "doctor_bad": "{count} contrôle(s) en échec ; suivez les lignes marquées ✗",
    "doctor_missing_uvloop": (
        "installez uvloop (« pip install uvloop ») ; sans lui le serveur tourne sur la boucle d'asyncio, deux "
        "fois moins vite"
    ),
    "doctor_missing_httptools": "installez httptools (« pip install httptools ») ; la porte d'entrée en a besoin",
    "doctor_files_low": (
        "augmentez-la avec « ulimit -n 65536 » ou LimitNOFILE= de systemd : chaque connexion en prend un"
    ),
    "doctor_port_taken": "arrêtez le programme qui y écoute ou choisissez un autre port avec --port",
    "doctor_port_denied": "choisissez un port supérieur à 1023 ou donnez au programme CAP_NET_BIND_SERVICE",
    "doctor_host_unknown": "réglez server.host sur une adresse de cette machine",
    "doctor_hub_unreachable": "démarrez-le (« chappe serve ») ou corrigez --url",
    "doctor_hub_not_ready": "il répond mais n'est pas prêt : consultez son journal",
    "doctor_free": "libre",
    "doctor_not_installed": "absent",
    # connect
    "connect": (
        "Dialogue avec un serveur WebSocket : tapez pour envoyer, voyez ce qui arrive. Avec --name ou "
        "--channel, discute sur un serveur Chappe."
    ),
    "connect_protocol": "Sous-protocole WebSocket à proposer ; répétable.",
    "connect_header": "En-tête de la négociation, « Nom: valeur » ; répétable.",
    "connect_origin": "Valeur de l'en-tête Origin ; les programmes n'en envoient pas.",
    "connect_token": "Jeton ; CHAPPE_TOKEN le garde hors de la liste des processus.",
    "connect_name": "Discute sous ce nom (chappe.v1).",
    "connect_channel": "Canal où discuter ; chat/lobby avec --name.",
    "connect_ca": "Fichier des autorités de confiance (PEM), au lieu de celles du système.",
    "connect_cert": "Fichier du certificat client (PEM).",
    "connect_key": "Fichier de la clé privée de --cert (PEM).",
    "connect_insecure": "Accepte n'importe quel certificat : quiconque est sur le chemin peut tout lire et changer.",
    "connect_attempts": (
        "Essais de reconnexion d'affilée ; 0 aucun, -1 sans fin. [défaut : 10 dans un terminal, sinon 0]"
    ),
    "connect_pretty": "Présente le JSON sur plusieurs lignes.",
    "connect_wait": "Après la fin de l'entrée standard, secondes de silence avant de partir ; inf reste.",
    "connect_json": "Écrit un objet JSON par événement.",
    "connect_insecure_warning": "ATTENTION : les certificats ne sont pas vérifiés, n'envoyez aucun secret",
    "connect_bad_header": "--header {header!r} : attendu « Nom: valeur »",
    "connect_bad_tls": "{path} : {reason}",
    "connect_key_without_cert": "--key demande --cert",
    "connect_welcome": "tapez pour envoyer, /help pour les commandes, /quit pour partir",
    "state_connecting": "connexion à {url}",
    "state_connected": "connecté",
    "state_connected_as": "connecté, protocole {protocol}",
    "state_reconnecting": "reconnexion {n} sur {of}",
    "state_reconnecting_on": "reconnexion, essai {n}",
    "state_disconnected": "déconnecté : {code} {reason}",
    "state_gave_up": "abandon : {reason}",
    "close_normal": "fermeture normale",
    "close_cut": "la connexion a été coupée",
    "word_offline": "hors ligne",
    "word_connecting": "connexion",
    "word_online": "connecté",
    "word_waiting": "reconnexion",
    "toolbar_sent": "envoyés {count}",
    "toolbar_received": "reçus {count}",
    "said_offline": "hors ligne, pas envoyé : /open reconnecte",
    "said_not_open": "pas connecté, pas envoyé : attendez la connexion",
    "said_binary": "binaire, {count} octets : {preview}",
    "said_pong": "pong après {ms:.1f} ms",
    "said_no_pong": "pas de pong",
    "said_joined": "{who} arrive",
    "said_left": "{who} part",
    "said_present": "présents : {names}",
    "said_missed": "des messages peuvent manquer : le serveur ne les a plus",
    "said_refused": "{reason} (code {code})",
    "said_not_utf8": "cette ligne n'est pas en UTF-8, pas envoyée",
    "slash_unknown": "commande {name} inconnue, /help les liste ; //{rest} l'envoie comme texte",
    "slash_hex": "/binary demande des chiffres hexadécimaux, comme /binary 00 ff 7a",
    "slash_code": "/close demande un code 1000 ou de 3000 à 4999",
    "slash_reason": "une raison de fermeture a au plus 123 octets",
    "slash_path": "/file demande un chemin",
    "slash_too_large": "{path} est trop grand, au plus {limit} octets tiennent dans une trame",
    "slash_already_open": "il y a déjà une connexion",
    "slash_help_help": "affiche cette liste",
    "slash_help_quit": "ferme la connexion et quitte (aussi Ctrl-D)",
    "slash_help_ping": "mesure la latence",
    "slash_help_binary": "envoie une trame binaire, en hexadécimal",
    "slash_help_file": "envoie un fichier en une trame binaire",
    "slash_help_close": "ferme la connexion avec un code et reste",
    "slash_help_open": "reconnecte",
    "slash_help_pretty": "présente le JSON, ou plus",
}
