import { texts } from "../../i18n/language";
import { en } from "./en";
import { fr } from "./fr";

export const t = texts<typeof en>({ en, fr });
