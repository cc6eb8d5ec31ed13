// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs of the host say in other languages than English, put into English where that is
//! sure: the C library's words for errors, and the word for an error in compilers' and make's
//! lines. Names of files, functions and devices are never translated, and stay.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;

/// The C library's (glibc) and the shell's words, in the languages that logs were seen in.
const PHRASES: [(&str, &[&str]); 6] = [
    (
        "No such file or directory",
        &[
            "Adresář nebo soubor neexistuje",
            "Ingen sådan fil eller filkatalog",
            "Datei oder Verzeichnis nicht gefunden",
            "Δεν υπάρχει τέτοιο αρχείο ή κατάλογος",
            "No existe el fichero o el directorio",
            "No existe el archivo o el directorio",
            "Tiedostoa tai hakemistoa ei ole",
            "Aucun fichier ou dossier de ce type",
            "Nincs ilyen fájl vagy könyvtár",
            "Tidak ada berkas atau direktori seperti itu",
            "File o directory non esistente",
            "そのようなファイルやディレクトリはありません",
            "그런 파일이나 디렉터리가 없습니다",
            "Ingen slik fil eller filkatalog",
            "Bestand of map bestaat niet",
            "Nie ma takiego pliku ani katalogu",
            "Ficheiro ou pasta inexistente",
            "Arquivo ou diretório inexistente",
            "Нет такого файла или каталога",
            "Filen eller katalogen finns inte",
            "Böyle bir dosya ya da dizin yok",
            "Немає такого файла або каталогу",
            "Không có tập tin hoặc thư mục như vậy",
            "没有那个文件或目录",
            "沒有此一檔案或目錄",
        ],
    ),
    (
        "Permission denied",
        &[
            "Operace zamítnuta",
            "Adgang nægtet",
            "Keine Berechtigung",
            "Άρνηση πρόσβασης",
            "Permiso denegado",
            "Lupa evätty",
            "Permission non accordée",
            "Engedély megtagadva",
            "Ijin ditolak",
            "Permesso negato",
            "許可がありません",
            "허가 거부",
            "Ikke tilgang",
            "Toegang geweigerd",
            "Brak dostępu",
            "Permissão recusada",
            "Permissão negada",
            "Отказано в доступе",
            "Åtkomst nekas",
            "Erişim engellendi",
            "Відмовлено у доступі",
            "Không đủ quyền truy cập",
            "权限不够",
            "拒絕不符權限的操作",
        ],
    ),
    (
        "Operation not permitted",
        &[
            "Operace není povolena",
            "Operationen er ikke tilladt",
            "Die Operation ist nicht erlaubt",
            "Vorgang nicht zulässig",
            "Η λειτουργία δεν επιτρέπεται",
            "Operación no permitida",
            "Toiminto ei ole sallittu",
            "Opération non permise",
            "A művelet nem engedélyezett",
            "Operasi tidak diijinkan",
            "Operazione non permessa",
            "許可されていない操作です",
            "명령을 허용하지 않음",
            "Operasjonen er ikke tillatt",
            "Actie is niet toegestaan",
            "Operacja niedozwolona",
            "Operação não permitida",
            "Операция не позволена",
            "Operationen inte tillåten",
            "İşleme izin verilmedi",
            "Дію заборонено",
            "Thao tác không được phép",
            "不允许的操作",
            "此項操作並不被允許",
        ],
    ),
    (
        "No space left on device",
        &[
            "Na zařízení není volné místo",
            "Ikke mere plads på enheden",
            "Auf dem Gerät ist kein Speicherplatz mehr verfügbar",
            "No queda espacio en el dispositivo",
            "Laitteella ei ole tilaa jäljellä",
            "Aucun espace disponible sur le périphérique",
            "Nincs több hely a lemezen",
            "Spazio esaurito sul device",
            "デバイスに空き領域がありません",
            "장치에 남은 공간이 없음",
            "Ikke mer plass på enheten",
            "Geen ruimte meer over op apparaat",
            "Brak miejsca na urządzeniu",
            "Sem espaço livre no dispositivo",
            "Não há espaço disponível no dispositivo",
            "На устройстве не осталось свободного места",
            "Enheten är full",
            "Aygıt üzerinde boş yer yok",
            "Недостатньо місця на пристрої",
            "Không có đủ chỗ trống trên thiết bị",
            "设备上没有空间",
            "裝置上已無多餘空間",
        ],
    ),
    (
        "command not found",
        &[
            "příkaz nenalezen",
            "kommando ikke fundet",
            "Kommando nicht gefunden",
            "Befehl nicht gefunden",
            "εντολή δεν βρέθηκε",
            "orden no encontrada",
            "komentoa ei löydy",
            "commande introuvable",
            "parancs nem található",
            "perintah tidak ditemukan",
            "comando non trovato",
            "コマンドが見つかりません",
            "명령어를 찾을 수 없음",
            "opdracht niet gevonden",
            "nie znaleziono polecenia",
            "comando não encontrado",
            "команда не найдена",
            "kommandot finns inte",
            "команду не знайдено",
            "không tìm thấy lệnh",
            "未找到命令",
            "指令找不到",
        ],
    ),
    (
        "unrecognized command-line option",
        &[
            "nicht erkannte Kommandozeilenoption",
            "neprepoznat opcija na naredbenom retku",
            "okänd kommandoradsflagga",
            "无法识别的命令行选项",
        ],
    ),
];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(PHRASES.iter().flat_map(|(_, words)| words.iter()))
        .expect("the phrases are few")
});

/// What each of [`FINDER`]'s patterns is in English.
static ENGLISH: LazyLock<Vec<&str>> = LazyLock::new(|| {
    PHRASES.iter().flat_map(|(english, words)| words.iter().map(|_| *english)).collect()
});

/// A compiler's line: its place, and its word for an error (gcc's translations).
static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?P<place>\.[chS]:\d+(?::\d+)?: ?|",
        r"(?-u:\b)(?:gcc|g\+\+|cc1?|cc1plus|ld|collect2)(?:-\d+)?: )",
        r"(?i:fejl|(?:schwerwiegender )?fehler|σφάλμα|virhe|erreur(?: fatale)?|error fatal|greška|",
        r"errore|erro|エラー|致命的エラー|오류|fout|(?:фатальная )?ошибка|грешка|fel|hata|",
        r"(?:критична )?помилка|lỗi|kesalahan|błąd|(?:致命)?错误|錯誤|嚴重錯誤) ?: ?"
    ))
    .expect("the pattern is tested")
});

/// `make: *** [Makefile:88: modules] Fehler 2`.
static MAKE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?P<goal>g?make(?:\[\d+\])?: \*\*\* .*\]) ?\w+ (?P<status>\d+)$")
        .expect("the pattern is tested")
});

/// `mount: /dev/binderfs: unbekannter Dateisystemtyp "binder".` Of mount's messages this one alone
/// has the type in quotation marks.
static MOUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(?P<place>mount: [^:\s]+ ?: )[^:]*["']\s?(?P<type>binder)\s?["'][^:]*$"#)
        .expect("the pattern is tested")
});

/// A text in English, as far as it is known; nothing if there is nothing to be changed.
pub(crate) fn english(text: &str) -> Option<String> {
    let original = text;
    let mut text = Cow::Borrowed(text);
    if FINDER.is_match(&*text) {
        // French has a space before a colon.
        text = Cow::Owned(FINDER.replace_all(&text, ENGLISH.as_slice()).replace(" : ", ": "));
    }
    let patterns = [
        (&*ERROR, "${place}error: "),
        (&*MAKE, "${goal} Error ${status}"),
        (&*MOUNT, "${place}unknown filesystem type '${type}'"),
    ];
    for (pattern, form) in patterns {
        if let Cow::Owned(changed) = pattern.replace(&text, form) {
            text = Cow::Owned(changed);
        }
    }
    (text != original).then(|| text.into_owned())
}

/// Whether a text has letters that English does not.
pub(crate) fn is_foreign(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(|sign| !sign.is_ascii() && sign.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::{english, is_foreign};
    use crate::plain_text::plain;

    #[track_caller]
    fn is(line: &str, text: &str) {
        assert_eq!(english(&plain(line)).as_deref(), Some(text), "{line}");
    }

    #[test]
    fn what_is_sure_is_put_into_english() {
        is(
            "ls: impossible d'accéder à '/dev/binder': Aucun fichier ou dossier de ce type",
            "ls: impossible d'accéder à '/dev/binder': No such file or directory",
        );
        is(
            "make: *** /lib/modules/6.1.0/build: Datei oder Verzeichnis nicht gefunden.  Schluss.",
            "make: *** /lib/modules/6.1.0/build: No such file or directory.  Schluss.",
        );
        is(
            "binder.c:633:19: erreur\u{a0}: « struct mm_struct » n'a pas de membre « mmap_sem »",
            "binder.c:633:19: error: \" struct mm_struct \" n'a pas de membre \" mmap_sem \"",
        );
        is(
            "binder.c:5:19: 错误：‘struct mm_struct’没有",
            "binder.c:5:19: error: 'struct mm_struct'没有",
        );
        is(
            "make[1]: *** [Makefile:88：/var/lib/dkms/x/1/build] 错误 2",
            "make[1]: *** [Makefile:88:/var/lib/dkms/x/1/build] Error 2",
        );
        is(
            "mount: /dev/binderfs: unbekannter Dateisystemtyp „binder“.",
            "mount: /dev/binderfs: unknown filesystem type 'binder'",
        );
        is("bash: dkms\u{a0}: commande introuvable", "bash: dkms: command not found");
    }

    #[test]
    fn what_is_english_or_no_error_stays() {
        for text in [
            "binder.c:633:19: error: 'struct mm_struct' has no member named 'mmap_sem'",
            "binder.c:633:19: avertissement : x",
            "binder.c:633:19: warning: fel: x",
            "mount: /dev/binderfs: binder already mounted on /dev/binderfs.",
            "mount: /dev/binderfs: must be superuser to use mount.",
        ] {
            assert_eq!(english(text), None, "{text}");
        }
        assert!(is_foreign("août") && !is_foreign("aout…") && !is_foreign("a"));
    }
}
