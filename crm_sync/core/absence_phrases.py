"""What people write into automatic replies about being away, in the languages of our customers.

Each list is in lower case, a phrase or its variants a line, grouped by language in the order en de
nl sv da nb fi fr es it pt pl cs ru uk tr hu ro el fa ar vi id zh ja ko. Where words stand apart a
phrase counts as whole words only; the lists named `..._UNSPACED` are of languages that write none.
"""

from typing import Final

UNTIL: Final = r"""
until|till|'til|through|thru|up to(?: and including)?|last day
bis(?: zum| einschlie(?:ß|ss)lich(?: zum)?| einschl\.| inkl\.| inklusive| mit)*
tot(?: en met)?|t/m|tem
till och med|t\.? ?o\.? ?m\.?|fram till|t o m|till
til og med|t\.? ?o\.? ?m\.?|(?:frem|fram) til|indtil|inntil|til
jusqu'(?:au?|à|en)|jusque|inclus
hasta(?: el)?
fino (?:al|all'|a)|sino (?:al|a)
até(?: ao?| o)?
do(?: dnia)?|aż do|włącznie do
až do|do(?: dne)?
до|по|включительно до
до|по|включно до
στις μέχρι|μέχρι(?: και)?|έως|ως
până (?:pe|în|la)?(?: data de)?|pana (?:pe|la)
تا(?: تاریخ| روز| پایان| آخر)*
حتی(?: یوم| تاریخ| نهایة)*|لغایة
(?:đến|tới)(?: hết| ngày| hết ngày)?
sampai(?: dengan)?|s/d|hingga
"""
"""Before the last day away."""

UNTIL_UNSPACED: Final = r"""
直到|直至|截至|截止
"""

RANGE: Final = r"""
to|bis|tot|t/m|till|til|au|al|ao|a|à|do|по|تا|إلی|الی|đến|tới|s/d|sampai
"""
"""Between the first day away and the last, besides the signs for it."""

UNTIL_AFTER: Final = r"""
asti|saakka|mennessä
kadar|dek
\w{2,}[áé]ig
"""
"""After the last day away."""

UNTIL_AFTER_UNSPACED: Final = r"""
-[áé]?ig\b|まで|迄|까지|为止|為止|之前|以前|止
"""

BACK: Final = r"""
back|return(?:ing|s)?|returned|resume|available again|in(?: the)? office again|reachable again
wieder|zurück|rückkehr|zurückkehren|erneut
terug|weer|opnieuw
åter(?:kommer|igen|komst)?|tillbaka|tillbaks
tilbage|igen|retur
tilbake|igjen
palaan|palaamme|takaisin|jälleen|paluu
de retour|(?:mon |dès mon )?retour|reviens|reviendrai|reprends|reprendrai|de nouveau
de vuelta|de regreso|regreso|vuelvo|volveré|regresaré|reincorpor\w*|mi vuelta
rientro|rientrerò|ritorno|tornerò|torno|di nuovo
de volta|regresso|retorno|retornarei|regressarei|voltarei|volto
wracam|wrócę|powrót|powrotu|ponownie|z powrotem
vrátím se|vracím se|budu zpět|zpět|návrat|zpátky|opět
вернусь|возвращаюсь|вернемся|возвращение|выйду(?: на работу)?|выхожу|снова|буду (?:на|в|доступ)\w*
повернуся|повертаюся?|повернення|вийду на роботу|знову|буду (?:на|в|доступ)\w*
dönüş(?:üm|ü)?|döneceğim|dönüyorum|tekrar
visszatér\w*|újra|ismét
revin|voi reveni|mă întorc|înapoi|din nou
επιστρέφω|επιστρέψω|επιστροφή|πίσω|ξανά
باز ?می ?گردم|بر ?می ?گردم|بازگشت|خواهم (?:برگشت|بازگشت)|دوباره
و?(?:سأعود|أعود|العودة|عودتی|مجددا)
trở lại|quay lại|đi làm lại|có mặt(?: lại)?
kembali
"""
"""Before the first day back."""

BACK_UNSPACED: Final = r"""
返回|回来|回來|恢复|恢復|返岗|返崗|复工|復帰|出社|再開|복귀|돌아
"""

START: Final = r"""
from|starting|since|as of|beginning
vom|von|ab(?: dem)?|seit
vanaf|van|sinds
från(?: och med)?|fr\.?o\.?m\.?
fra(?: og med)?|siden
alkaen|lähtien
du|dès(?: le)?|à (?:partir|compter) du|depuis
desde(?: el)?|del|a partir d\w+
dal|dall'|da|a partire dal
desde|de|do dia|a partir d\w+
od(?: dnia| dne)?
с|со|начиная с|з|із|від|починаючи з
din|de la|începând cu
από
از(?: تاریخ| روز)*
من|ابتداء من|منذ|اعتبارا من
từ(?: ngày)?|kể từ
mulai|dari|sejak
"""
"""Before the first day away, or after a word for being back: "back from 17 August on"."""

START_UNSPACED: Final = r"""
从|從|自|于
"""

BACK_AFTER: Final = r"""
wieder|zurück|erneut
terug|weer|opnieuw
åter|tillbaka|igen
tilbage|tilbake|igjen
palaan|takaisin|jälleen
back
döneceğim|dönüyorum|döneriz|tekrar|işe başla\w*|ofiste olaca\w*
visszatér\w*|újra|ismét|leszek (?:újra|ismét)
باز ?می ?گردم|بر ?می ?گردم|باز ?خواهم گشت|بر ?خواهم گشت|خواهم (?:بود|برگشت|بازگشت)|دوباره
"""
"""After the first day back."""

BACK_AFTER_UNSPACED: Final = r"""
恢复|恢復|返回|回来|回來|返岗|返崗|复工|回公司|回到|回办公|回辦公|上班|回复您|回覆您
(?:より|から|に)(?:は)?(?:通常|出社|業務|復帰|対応|戻|勤務|営業|在席|順次)|出社|復帰
부터 ?(?:다시|정상|근무|업무|복귀|출근|가능)|에 ?(?:복귀|돌아|출근)|복귀|출근
"""

AWAY: Final = r"""
out of (?:the )?office|out-of-office|away|on (?:annual |parental |sick |maternity |paternity )?leave
on (?:holidays?|vacation)|not in (?:the )?office|limited access|travell?ing|absent|day off
abwesend|abwesenheit\w*|urlaub\w*|nicht (?:im (?:büro|haus)|da|erreichbar|am platz)|außer haus
elternzeit|dienstreise|verreist|krank
afwezig\w*|vakantie|niet (?:op kantoor|aanwezig|bereikbaar)|verlof|vrij
semester|frånvar\w*|borta|ledig|föräldraledig|tjänsteresa|inte på (?:kontoret|plats)|bortrest
ferie|fravær\w*|bortrejst|ikke (?:på kontoret|til stede|tilgængelig)|barsel\w*|orlov
ute av kontoret|bortreist|permisjon|avspasering|ikke på kontor\w*
lomalla|poissa|vapaalla|matkoilla|vuosiloma\w*|toimistolta
absente?|absence|congés?|vacances|hors du bureau|déplacement
fuera de (?:la )?oficina|vacaciones|ausente|ausencia|de viaje|permiso
fuori (?:ufficio|sede)|in ferie|ferie|assente|assenza|in viaggio|non in ufficio
férias|ausente|ausência|fora do escritório|de licença
urlop\w*|nieobecn\w*|poza biurem|na zwolnieniu
dovolen\w*|mimo kancelář|nepřítom\w*|nejsem v kanceláři|na služební cestě
отпуск\w*|отсутств\w*|вне офиса|командировк\w*|не буду на рабочем месте|на больничном
відпуст\w*|відсутн\w*|поза офісом|відряджен\w*
izinde(?:yim)?|izinli(?:yim)?|tatilde(?:yim)?|ofis dışında\w*|ofiste (?:değilim|olmayacağım)
szabadság\w*|házon kívül|nem vagyok|távol
concediu|plecat|absent|în afara biroului|vacanță
άδεια|εκτός γραφείου|απουσι\w*|διακοπές
مرخصی|تعطیلات|خارج از (?:دفتر|اداره|شرکت)|سفر|حضور ندارم|نیستم|عدم حضور
إجازة|اجازة|خارج المکتب|عطلة|غیر متواجد|مسافر
nghỉ(?: phép| lễ)?|vắng mặt|đi công tác|đi vắng|không có mặt
cuti|tidak (?:berada )?di kantor|libur
"""
"""That somebody is away."""

AWAY_UNSPACED: Final = r"""
休假|不在|外出|出差|放假|年假|休暇|休み|休業|不在に|出張|育休|産休|休務
휴가|부재|출장|자리를 비|휴무
"""

DEPUTY: Final = r"""
contact|write to|e-?mail|reach|turn to|instead|urgent\w*|deputy|colleague|covering|cover|assist\w*
forward\w*|get in touch|in my absence|replace\w*
wenden|kontaktier\w*|vertretung|vertritt|vertreten|kolleg\w*|dringend\w*|stattdessen|an meine?\w?
erreichen|schreiben|ansprechpartner\w*
neem contact|contact|collega|vervang\w*|dringend\w*|waarnem\w*|spoed\w*
kontakta|vänd dig|vikarie\w*|ersätt\w*|kolleg\w*|brådskande|istället|i stället|maila|mejla|akut\w*
kontakt|vikar\w*|stedfortræder\w*|kolleg\w*|haster|hastende|i stedet|henvend\w*|stedfortreder
ota yhteyttä|yhteyttä|sijainen|sijaise\w*|sijaistaa|kollega\w*|kiire\w*|tavoitat
contacter|contactez|adresser|adressez|joindre|remplaç\w*|collègue|urgen\w*|écri\w*|suppléan\w*
contact\w*|dirigirse|diríjase|escrib\w*|sustitu\w*|compañer\w*|urgen\w*|póngase
contatt\w*|rivolg\w*|scriv\w*|sostitu\w*|colleg\w*|urgen\w*|fare riferimento
contact\w*|contato|substitu\w*|colega|urgen\w*|escrev\w*
kontakt\w*|skontakt\w*|zastęp\w*|piln\w*|proszę pisać|współpracowni\w*
kontakt\w*|obraťte|obracejte|zástup\w*|zastup\w*|naléhav\w*|kolega|kolegyn\w*|pište
обра\w*|свя\w*|замеща\w*|заместител\w*|коллег\w*|срочн\w*|пишите|вместо
зверта\w*|зверн\w*|зв'яж\w*|заміщ\w*|заступни\w*|колег\w*|термінов\w*|пишіть
iletişim\w*|ulaş\w*|başvur\w*|yerime|vekil\w*|acil\w*|meslektaş\w*
keres\w*|fordul\w*|helyettes\w*|sürgős\w*|kollég\w*|írj\w*
contacta\w*|adresa\w*|înlocu\w*|coleg\w*|urgen\w*
επικοινων\w*|απευθυν\w*|αντικατ\w*|συνάδελφ\w*|επείγ\w*
تماس|جانشین|همکار\w*|فوری|مکاتبه|ارتباط|جایگزین|ضروری
التواصل|تواصل\w*|الاتصال|زمیل\w*|للحالات|عاجل\w*|مراسلة|بدیل\w*|نائب\w*
liên hệ|liên lạc|đồng nghiệp|khẩn|gấp|thay thế|gửi (?:email|thư)
hubungi|menghubungi|rekan|mendesak|pengganti
"""
"""Near the address of whoever answers instead."""

DEPUTY_UNSPACED: Final = r"""
联系|聯繫|聯絡|联络|代理|同事|紧急|緊急|急事|连络|連絡|代わり|担当|代行|至急|お急ぎ|문의|연락|대리|대신|동료|긴급|급한
"""
