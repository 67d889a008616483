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

_ARCHIVE: Final = """
archive | archives | arkiv | arkisto | بایگانی | lưu trữ | 存档 | 归档 | 封存 | アーカイブ
archiv | archivo | archivio | archiwum | архив | архів | arşiv
"""

# Outlook keeps all this beside mail, and IMAP shows it as folders of messages; Thunderbird has
# "Unsent Messages" and "Templates". Where the name in a language is an everyday word too, people
# keep mail under it ("工作", "Diario"): it is not listed.
_OUTBOX: Final = """
outbox | unsent messages | utkorg | utkorgen | udbakke | utboks | lähtevät | صندوق خروجی
hộp thư đi | 发件箱 | 寄件匣 | 送信トレイ | 보낼 편지함 | postausgang | boîte d'envoi
boîte d’envoi | bandeja de salida | posta in uscita | caixa de saída | postvak uit
skrzynka nadawcza | pošta k odeslání | postázandó üzenetek | исходящие | вихідні
giden kutusu | علبة الصادر | scheduled
"""

_CALENDAR: Final = """
calendar | kalender | kalenteri | تقویم | lịch | 日历 | 行事曆 | 予定表 | 일정
calendrier | calendario | calendário | agenda | kalendarz | kalendář | naptár | календарь
календар | takvim | التقويم | לוח שנה
"""

_CONTACTS: Final = """
contacts | kontakter | kontaktpersoner | yhteystiedot | مخاطبین | danh bạ | 联系人
連絡人 | 連絡先 | 연락처 | kontakte | contactos | contatti | contatos | contactpersonen
kontakty | névjegyalbum | контакты | контакти | kişiler | جهات الاتصال | אנשי קשר
"""

_TASKS: Final = """
tasks | uppgifter | opgaver | oppgaver | tehtävät | tác vụ | 任务 | タスク | 작업
aufgaben | tâches | tareas | attività | tarefas | taken | zadania | úkoly | feladatok
задачи | завдання | görevler | المهام | משימות
"""

_NOTES: Final = """
notes | anteckningar | noter | notater | muistilaput | یادداشت‌ها | ghi chú | 便笺
メモ | 메모 | notizen | notas | anotações | notities | notatki | poznámky | feljegyzések
заметки | нотатки | notlar | الملاحظات
"""

_JOURNAL: Final = """
journal | päiväkirja | nhật ký | 日记 | 日誌 | 업무 일지 | logboek
"""

_SYNC_ISSUES: Final = """
sync issues | synkroniseringsproblem | synkroniseringsfel | synkroniseringsproblemer
synkronointiongelmat | 同步问题 | 同步處理問題 | 同期の失敗 | 동기화 문제
synchronisierungsprobleme | problèmes de synchronisation | problemas de sincronización
problemi di sincronizzazione | problemas de sincronização | synchronisatieproblemen
problemy z synchronizacją | ошибки синхронизации
"""

_CONVERSATIONS: Final = """
conversation history | konversationshistorik | samtaleoversigt | samtalelogg
keskusteluhistoria | 对话历史记录 | 交談記錄 | 会話の履歴 | 대화 기록
unterhaltungsverlauf | aufgezeichnete unterhaltungen | historique des conversations
historique de conversation | historial de conversaciones | cronologia conversazioni
histórico de conversa | histórico de conversas | gespreksgeschiedenis
historia konwersacji | журнал бесед
"""

_TEMPLATES: Final = """
templates | mallar | skabeloner | 模板 | 範本 | テンプレート | vorlagen | plantillas
sjablonen | szablony | šablony | sablonok | шаблоны | шаблони | şablonlar
"""

NO_MAIL: Final = "\\crm-sync-no-mail"
"""The use, ours alone, of folders whose messages were never sent or received as mail."""

USES: Final = {
    plain(name): use
    for use, names in (
        ("\\junk", _JUNK),
        ("\\trash", _TRASH),
        ("\\drafts", _DRAFTS),
        ("\\sent", _SENT),
        ("\\archive", _ARCHIVE),
        *((NO_MAIL, names) for names in (_OUTBOX, _CALENDAR, _CONTACTS, _TASKS, _NOTES)),
        *((NO_MAIL, names) for names in (_JOURNAL, _SYNC_ISSUES, _CONVERSATIONS, _TEMPLATES)),
    )
    for line in names.strip().splitlines()
    for name in line.split("|")
}
"""Plain name -> special use, as the flag of RFC 6154 in lower case."""

LEFT_OUT: Final = frozenset({"\\junk", "\\trash", "\\drafts", NO_MAIL})
"""Uses of folders that are pulled only when named, with all that lies below them."""
