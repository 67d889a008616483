"""Names that mail programs and providers give to folders of a known use, in many languages.

They serve where a server does not tell the use itself (RFC 6154). In the form `plain` gives.
"""

import unicodedata
from typing import Final


def plain(name: str) -> str:
    """A name in the form in which names are compared: NFKC, lower case, single blanks."""
    return " ".join(unicodedata.normalize("NFKC", name).lower().split())


_JUNK: Final = """
junk | junk email | junk e-mail | junk mail | spam | bulk mail | skräppost | skräp
uønsket post | uønsket mail | søppelpost | roskaposti | هرزنامه | اسپم | thư rác
spam mail | 垃圾邮件 | 垃圾郵件 | 垃圾箱 | 迷惑メール | 스팸 | 스팸 메일
courrier indésirable | indésirables | pourriel | correo no deseado | correo basura
no deseado | posta indesiderata | indesiderata | lixo eletrônico | lixo eletrónico
ongewenste e-mail | reclame | wiadomości-śmieci | niechciane | nevyžádaná pošta
kéretlen levelek | нежелательная почта | спам | istenmeyen | gereksiz e-posta
البريد غير الهام | דואר זבל
"""

_TRASH: Final = """
trash | deleted | deleted items | deleted messages | bin | papperskorg | papperskorgen
borttagna objekt | borttaget | slettet post | slettede elementer | slettede emner
papirkurv | papirkurven | roskakori | poistetut | سطل زباله | زباله‌دان | حذف شده
حذف‌شده‌ها | موارد حذف شده | thùng rác | đã xóa | mục đã xóa | 已删除邮件 | 已删除
已刪除的郵件 | 刪除的郵件 | 废件箱 | 垃圾桶 | 回收站 | ゴミ箱 | 削除済みアイテム
휴지통 | 지운 편지함 | papierkorb | gelöschte elemente | gelöscht | gelöschte objekte
corbeille | éléments supprimés | messages supprimés | papelera | elementos eliminados
eliminados | cestino | posta eliminata | lixeira | itens excluídos | prullenbak
verwijderde items | kosz | elementy usunięte | koš | lomtár | корзина | удаленные
удалённые | кошик | çöp kutusu | silinmiş öğeler | المحذوفات | العناصر المحذوفة | אשפה
"""

_DRAFTS: Final = """
drafts | draft | utkast | udkast | kladder | kladde | luonnokset | پیش‌نویس | پیش نویس
پیش‌نویس‌ها | thư nháp | bản nháp | nháp | 草稿 | 草稿箱 | 下書き | 임시 보관함
임시보관함 | entwürfe | entwurf | brouillons | borradores | bozze | rascunhos
concepten | wersje robocze | szkice | koncepty | piszkozatok | черновики | чернетки
taslaklar | المسودات | מסודות | טיוטות
"""

_SENT: Final = """
sent | sent items | sent mail | sent messages | skickat | skickade | skickade objekt
sendt | sendt post | sendte elementer | sendte emner | lähetetyt | ارسال شده
ارسال‌شده | فرستاده شده | فرستاده‌شده‌ها | thư đã gửi | đã gửi | mục đã gửi | 已发送
已发送邮件 | 已發送 | 寄件備份 | 已傳送的郵件 | 送信済み | 送信済みアイテム
보낸 편지함 | 보낸편지함 | gesendet | gesendete elemente | gesendete objekte | envoyés
éléments envoyés | messages envoyés | enviados | elementos enviados | inviati
posta inviata | itens enviados | verzonden | verzonden items | wysłane
elementy wysłane | odeslané | elküldött | отправленные | надіслані | gönderilmiş öğeler
gönderilenler | المرسلة | العناصر المرسلة
"""

USES: Final = {
    plain(name): use
    for use, names in (
        ("\\junk", _JUNK),
        ("\\trash", _TRASH),
        ("\\drafts", _DRAFTS),
        ("\\sent", _SENT),
    )
    for line in names.strip().splitlines()
    for name in line.split("|")
}
"""Plain name -> special use, as the flag of RFC 6154 in lower case."""
