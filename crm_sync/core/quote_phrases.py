"""What mail programs write around quoted text and below signatures, in many languages.

Each list is written in lower case and read without regard to case.
"""

from typing import Final

WROTE: Final = r"""
wrote|writes|skrev|skriver|schrieb|schreibt|geschrieben|a écrit|escribió|ha escrito|escribe
va escriure|escreveu|ha scritto|scrive|scrisse|schreef|geschreven|napisała?|pisze|napsala?
napísala?|napisao|napisala|írta|a scris|yazdı|yazmış|kirjoitti|kirjutas|rakstīja|rašė|έγραψε
написала?|писала?|пишет|написав|написала|пише|написа|menulis|đã viết|viết
"""
"""The verb of "On ... Lena wrote:", where words stand apart."""

WROTE_UNSPACED: Final = r"""
כתבה?|كتبت?|نوشت|เขียน|書きました|書いた|のメール|のメッセージ|写道|寫道|写到|撰写|作成|작성|썼습니다
"""
"""The same, where words run together or bear prefixes."""

SEPARATOR: Final = r"""
original message|forwarded message|reply message|original appointment|ursprungligt meddelande
vidarebefordrat meddelande|oprindelig meddelelse|videresendt meddelelse|opprinnelig melding
videresendt melding|alkuperäinen viesti|välitetty viesti|ursprüngliche nachricht
original-nachricht|originalnachricht|weitergeleitete nachricht|message d['’]origine
message original|message transféré|mensaje original|mensaje reenviado|missatge original
mensagem original|mensagem encaminhada|messaggio originale|messaggio inoltrato
oorspronkelijk bericht|doorgestuurd bericht|(?:wiadomość oryginalna|oryginalna wiadomość)
wiadomość przekazana|původní zpráva|pôvodná správa|eredeti üzenet|mesajul original
исходное сообщение|пересылаемое сообщение|оригінальне повідомлення
(?:orijinal|özgün) (?:mesaj|ileti)|αρχικό μήνυμα|پیام اصلی|الرسالة الأصلية|הודעה מקורית
(?:thư|tin nhắn) gốc|ข้อความดั้งเดิม
原始邮件|原始郵件|转发邮件|轉寄郵件|元のメッセージ|転送メッセージ|원본 메시지
"""
"""What stands between dashes above the original message."""

FORWARDED: Final = r"""
begin forwarded message|vidarebefordrat brev|start på videresendt besked|videresendt melding
anfang der weitergeleiteten (?:nachricht|e-mail)|début du message (?:réexpédié|transféré)
inicio del mensaje reenviado|início da mensagem (?:re)?encaminhada|inizio messaggio inoltrato
begin doorgestuurd bericht|początek przekazywanej wiadomości|начало переадресованного сообщения
以下是转发的邮件|以下是轉寄的郵件|下記は転送されたメッセージです|전달된 메시지 시작
"""
"""What stands above a forwarded message, before a colon."""

SENT_FROM: Final = r"""
sent (?:from|via|using|with)|get outlook|skickat (?:från|med)|hämta outlook|sendt fra
hent outlook|lähetetty|(?:von|gesendet) (?:meinem|mit|von|aus)|diese nachricht wurde von
envoyé (?:de|depuis|à partir)|enviado (?:desde|do|de|a partir)|inviato da
verzonden (?:vanaf|met|vanuit)|wysłan[oey] z|odesláno z|отправлено (?:с|из)|надіслано з
فرستاده شده از|ارسال‌? ?شده از|أُ?رسل من|(?:được )?gửi từ|发自|發自|从我的|從我的
"""
"""How the line begins that a telephone or an app puts below a mail."""

DEVICE: Final = r"""
iphone|ipad|ios|android|samsung|galaxy|huawei|xiaomi|nokia|blackberry|windows|outlook
thunderbird|yahoo|gmail|typeapp|proton|mail|e-post|mobil\w*|phone|telefon\w*|handy|smartphone
آیفون|手机|手機
"""
"""What such a line names."""

FROM: Final = r"""
from|från|fra|von|de|da|van|od|от|від|kimden|gönderen|lähettäjä|feladó|de la|από|expéditeur
afzender|отправитель|من|از|فرستنده|מאת|từ|người gửi|จาก
发件人|寄件者|寄件人|差出人|送信者|보낸 사람|보낸사람
"""
"""Names of the field that says who wrote, above a quoted message."""

DATE: Final = r"""
sent|date|skickat|datum|sendt|dato|gesendet|enviado|enviada em|enviado el|enviado em|fecha|data
inviato|verzonden|wysłano|wysłane|envoyé|отправлено|дата|надіслано|gönderildi|tarih|lähetetty
päivämäärä|päiväys|odesláno|odoslané|elküldve|dátum|trimis|στάλθηκε|ημερομηνία|تاریخ|ارسال شده
التاريخ|تاريخ الإرسال|נשלח|תאריך|đã gửi|ngày|gửi|ส่ง|วันที่
发送时间|日期|寄件日期|傳送時間|送信日時|日時|보낸 날짜|날짜
"""
"""Names of the field that says when, above a quoted message."""

TO: Final = r"""
to|till|til|an|à|a|para|aan|naar|do|komu|кому|kime|vastaanottaja|címzett|către|προς|إلى|به
گیرنده|אל|đến|tới|người nhận|ถึง|收件人|收件者|宛先|받는 사람|받는사람
"""
"""Names of the field that says to whom, above a quoted message."""

SUBJECT: Final = r"""
subject|ämne|emne|betreff|objet|asunto|assunto|oggetto|onderwerp|temat|тема|konu|aihe|předmět
predmet|tárgy|subiect|θέμα|الموضوع|موضوع|נושא|chủ đề|tiêu đề|เรื่อง|主题|主題|主旨|件名|제목
"""
"""Names of the field that says about what, above a quoted message."""
