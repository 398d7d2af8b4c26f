import type { Texts } from "../i18n/language";
import type { en } from "./en";

export const fr: Texts<typeof en> = {
  skip: "Aller au contenu",
  sections: "Rubriques",
  groupHub: "Hub",
  groupTools: "Outils",
  groupApps: "Applications",
  home: "Vue d’ensemble",
  homeShort: "Accueil",
  client: "Client WebSocket",
  clientShort: "Client",
  chat: "Discussion",
  language: "Langue",
  theme: "Thème",
  theme_system: "Comme le système",
  theme_light: "Clair",
  theme_dark: "Sombre",
  loading: "Chargement…",
  loadFailed: "Cette page n’a pas pu être chargée. Le hub fonctionne-t-il toujours\u202f?",
  retry: "Réessayer",
  notFoundTitle: "Cette page n’existe pas",
  notFound: "L’adresse ne désigne rien sur ce hub.",
  toHome: "Aller à la vue d’ensemble",
  copy: "Copier",
  copied: "Copié",
  copyFailed: "Non copié",
};
